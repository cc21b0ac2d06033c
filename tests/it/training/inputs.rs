//! Trainings of networks with several inputs.

use macula::lang::network::NetworkSpec;
use macula::lang::value::Value;

use super::fitting::Bench;
use super::lengths::same_bytes;
use super::made::params;
use crate::kernels::formula::described;

fn two_scales(branch: &str) -> NetworkSpec {
    described(&format!(
        "network two-scales {{
            input half
            block trunk {{ conv a out=8 kernel=3 padding=1; batch-norm n; relu; max-pool kernel=2; conv b out=8 kernel=3 padding=1; batch-norm m; relu; global-avg-pool }}
            parallel join=concat {{ branch {{ trunk }}; branch {branch} {{ trunk }} }}
            dropout share=0.1
            linear fc
        }}"
    ))
}

#[test]
fn a_training_with_two_scales_ends_in_the_same_bytes() {
    let mut models = Vec::new();
    for branch in ["small from=half", "from=half share=#true"] {
        let bench = Bench::new();
        let views = bench.views();
        let params = params(&[("network", Value::Network(Box::new(two_scales(branch))))]);
        models.push(same_bytes(&bench, &params, &views, &[&[3], &[5, 9]]));
    }
    assert_ne!(models[0], models[1]);
}
