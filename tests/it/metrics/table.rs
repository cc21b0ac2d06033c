//! Parquet tables survive a round trip, and their bytes are stable.

use macula::base::Digest;
use macula::data::table::{Column, Columns};

fn every_type(rows: u32) -> Columns {
    let some = |i: u32| !i.is_multiple_of(3);
    let mut table = Columns::default();
    table.push("int", Column::Int((0..rows).map(|i| some(i).then_some(-i64::from(i) << 33)).collect()));
    table.push("count", Column::Count((0..rows).map(|i| some(i).then_some(u32::MAX - i)).collect()));
    table.push("real", Column::Real((0..rows).map(|i| some(i).then(|| 1.0 / f64::from(i))).collect()));
    table.push("single", Column::Single((0..rows).map(|i| some(i).then_some(i as f32 / 7.0)).collect()));
    table.push("bool", Column::Bool((0..rows).map(|i| some(i).then_some(i % 2 == 0)).collect()));
    table.push("text", Column::Text((0..rows).map(|i| some(i).then(|| format!("é{i}"))).collect()));
    table.push("list", Column::Counts((0..rows).map(|i| (0..i % 4).map(|j| i * j).collect()).collect()));
    table
}

#[test]
fn a_table_of_every_type_survives_a_round_trip() {
    for rows in [0, 1, 7, 1000] {
        let table = every_type(rows);
        let bytes = table.to_parquet().unwrap();
        assert_eq!(Columns::from_parquet(&bytes).unwrap(), table, "{rows} rows");
    }
}

#[test]
fn a_table_longer_than_a_row_group_survives_a_round_trip() {
    let mut table = every_type(0);
    let rows = 70_000u32;
    table.0.truncate(1);
    table.0[0].1 = Column::Int((0..rows).map(|i| (i % 5 > 0).then_some(i.into())).collect());
    table.push("list", Column::Counts((0..rows).map(|i| vec![i; (i % 3) as usize]).collect()));
    assert_eq!(Columns::from_parquet(&table.to_parquet().unwrap()).unwrap(), table);
}

#[test]
fn the_bytes_of_a_table_do_not_change() {
    let digest = Digest::of(&every_type(100).to_parquet().unwrap());
    assert_eq!(digest.short(), "e30d58a7", "the parquet crate, or the properties, changed what is written");
}

#[test]
fn columns_of_different_lengths_are_refused_by_name() {
    let mut table = every_type(3);
    table.push("odd", Column::Bool(vec![None]));
    assert_eq!(
        table.to_parquet().unwrap_err().to_string(),
        "column `odd` has a different number of rows than the first"
    );
}

#[test]
fn a_truncated_table_is_an_error_and_no_panic() {
    let bytes = every_type(50).to_parquet().unwrap();
    for cut in [0, 3, 4, 50, bytes.len() / 2, bytes.len() - 1] {
        assert!(Columns::from_parquet(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}
