//! The book's worked example of a workload does what the book shows.

#[path = "../examples/matrix.rs"]
#[allow(dead_code)]
mod matrix;

#[test]
fn the_example_prints_what_the_book_shows() {
    let chapter = include_str!("../../../docs/new-workload.md");
    let (_, shown) = chapter.split_once("--example matrix\n").expect("the chapter runs it");
    let (shown, _) = shown.split_once("```").expect("the block ends");
    assert_eq!(matrix::table().expect("the example runs"), shown);
}
