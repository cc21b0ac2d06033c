//! The language: what is said of a file, and what is made of it.

use macula::lang::{builtin_network, shapes, stdlib};

#[test]
fn the_standard_library_is_without_fault() {
    assert_eq!(stdlib::stdlib().diags, []);
}

#[test]
fn resnet18_has_the_parameters_and_the_cost_of_torchvisions() {
    let network = builtin_network("resnet18").expect("it is built in");
    let rows = shapes::shapes(&network, 224, 1000).expect("it fits");
    // As torchvision states for IMAGENET1K_V1: 11,689,512 parameters, 1.814 billion multiply-adds at 224 px.
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), 11_689_512);
    assert_eq!(rows.iter().map(|row| row.multiply_adds).sum::<u64>(), 1_814_073_344);
    assert!(rows.iter().any(|row| row.name == "layer4.0.downsample.1"));
}
