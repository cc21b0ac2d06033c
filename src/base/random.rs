//! Counter-based random streams: a draw depends only on its purpose, never on order, thread or time.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::Hasher;

/// The random streams of one stage: the pipeline's seed under the implementation's name.
#[derive(Clone, Debug)]
pub struct Streams {
    seed: u64,
    implementation: String,
}

impl Streams {
    /// Streams of `implementation` (its name, not its version) under the pipeline's `seed`.
    #[must_use]
    pub fn new(seed: u64, implementation: &str) -> Self {
        Self { seed, implementation: implementation.to_owned() }
    }

    /// The stream for a purpose (`init`, `order`, `augment`, …), an epoch and a sample (any identifying bytes, or
    /// none).
    #[must_use]
    pub fn stream(&self, purpose: &str, epoch: u64, sample: &[u8]) -> Stream {
        let mut key = Hasher::new("macula random stream 1");
        key.int(self.seed).text(&self.implementation).text(purpose).int(epoch).bytes(sample);
        Stream(ChaCha8Rng::from_seed(*key.finish().bytes()))
    }

    /// A 64-bit rank for shuffling samples: sorting by it gives an order that does not depend on theirs.
    ///
    /// # Panics
    /// Never: a digest has 32 bytes.
    #[must_use]
    pub fn rank(&self, purpose: &str, epoch: u64, sample: &[u8]) -> u64 {
        let mut key = Hasher::new("macula random rank 1");
        key.int(self.seed).text(&self.implementation).text(purpose).int(epoch).bytes(sample);
        let digest = key.finish();
        u64::from_le_bytes(digest.bytes()[..8].try_into().expect("a digest has 32 bytes"))
    }
}

/// One random stream (`ChaCha8`).
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Uniform over 0..n without bias (Lemire 2019, by rejection).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below(0) has no value");
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            if wide as u64 >= threshold {
                return (wide >> 64) as u64;
            }
        }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal (Box and Muller 1958), the same on every machine: log, cos and sqrt of `libm`.
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.uniform();
        let v = self.uniform();
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(std::f64::consts::TAU * v)
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
