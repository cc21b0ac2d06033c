//! Tables of predictions by other programs: meaning of columns, rows and names, and rejection of ambiguous ones.

use std::sync::Arc;

use macula::data::predictions::Predictions;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::sets::{part, set};

/// Predictions of the first patches of two photographs, with a text in place of one of a table's lines.
fn scores(head: &str, row: &str) -> Result<Vec<f64>, String> {
    let set = set(vec![part("a", "1000"), part("b", "0000")]);
    let table = format!("{head}\n{row}\nb,0,0,0.1,0.2,0.3,0.4,0.5\n");
    let read = Predictions::read("predictions.csv", table.as_bytes());
    read.and_then(|read| read.scores(&set)).map_err(|error| error.to_string())
}

const HEAD: &str = "photograph,x,y,score.MA,score.HE,score.EX,score.SE";

#[test]
fn a_class_or_photograph_that_two_columns_or_rows_may_mean_is_refused() {
    let row = "a,0,0,0.5,0.6,0.7,0.8,0.9";
    let more = |column: &str| format!("{HEAD},{column}");
    assert_eq!(scores(&more("score.other"), row), Ok(vec![0.5, 0.6, 0.7, 0.8, 0.1, 0.2, 0.3, 0.4]));
    for (head, words) in [
        (more("score.ma"), "columns `score.MA` and `score.ma` are ambiguous"),
        (more("score.MA"), "two columns are named `score.MA`"),
        (more("score.MA\t"), "have nearly the same name"),
        (more("").replace("score.EX,score.SE", "score.\u{e9},score.e\u{301}"), "have nearly the same name"),
        (more("").replace("score.MA", "score.ma"), "column `score.MA` is missing; found `score.ma`"),
    ] {
        assert!(scores(&head, row).is_err_and(|told| told.contains(words)), "{:?}", scores(&head, row));
    }
    let both = format!("{row}\nA,0,0,0.1,0.1,0.1,0.1,0.1");
    let told = scores(&more("note"), &both).expect_err("two names for one photograph");
    assert!(told.contains("photographs `a` and `A` are ambiguous"), "{told}");
    let told = scores(&more("note"), &row.replace('a', "A")).expect_err("no row of `a`");
    assert!(told.contains("`a` at 0, 0 has no prediction; found rows of `A`"), "{told}");
}

/// A table with `REQUIRED` columns, preceded by a nested column with two leaves.
fn records(score: &str) -> Vec<u8> {
    let schema = format!(
        "message table {{ required group made {{ required int32 x; required int32 y; }} required binary photograph (UTF8); \
         required int32 x; required int32 y; {score} }}"
    );
    let schema = Arc::new(parse_message_type(&schema).expect("a schema"));
    let mut file =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default())).expect("a file");
    let mut group = file.next_row_group().expect("a group");
    for at in 0.. {
        let Some(mut column) = group.next_column().expect("a column") else { break };
        let written = match at {
            2 => column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("a")], None, None),
            5 if score.contains("double") => column.typed::<DoubleType>().write_batch(&[0.25], None, None),
            5 => column.typed::<Int32Type>().write_batch(&[1], None, None),
            other => column.typed::<Int32Type>().write_batch(&[10 * other], None, None),
        };
        written.and_then(|_| column.close()).expect("written");
    }
    group.close().expect("a group");
    file.into_inner().expect("a file")
}

#[test]
fn columns_are_read_by_name_next_to_records_and_without_nulls() {
    let found = Predictions::read("predictions.parquet", &records("required double score.MA;")).expect("readable");
    assert_eq!(found.of_patch("a", 30, 40), Some([0.25].as_slice()));
    // One hundredth, as a decimal, is no 1.
    let told = Predictions::read("predictions.parquet", &records("required int32 score.MA (DECIMAL(4, 2));"));
    assert!(told.is_err_and(|told| told.to_string().contains("column `score.MA` has an unsupported type")));
}
