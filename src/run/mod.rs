//! Executes a plan: slots, claims, events, records. Names no stage; clock and environment come in through its `World`.
