//! Tests of made photographs and of the stages that derive one patch set from another.

mod synthetic;
