//! The page's files, which are part of the program.

use super::failure::Failure;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "web/"]
struct Assets;

/// The page.
pub(super) async fn page() -> Result<Response, Failure> {
    file("index.html")
}

/// What is there instead, until the cluster token has been shown.
pub(super) fn login() -> Result<Response, Failure> {
    file("login.html").map(|page| (StatusCode::UNAUTHORIZED, page).into_response())
}

/// A file of it.
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Failure> {
    file(&name)
}

fn file(name: &str) -> Result<Response, Failure> {
    let file = Assets::get(name)
        .ok_or_else(|| Failure::unknown(format!("the page has no file \"{name}\"")))?;
    Ok(([(CONTENT_TYPE, content_type(name))], file.data).into_response())
}

/// The text of one of the page's files.
///
/// # Panics
/// When it has no such file.
pub(crate) fn page_file(name: &str) -> String {
    let file = Assets::get(name).unwrap_or_else(|| panic!("the page has a file \"{name}\""));
    String::from_utf8_lossy(&file.data).into_owned()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("md" | "txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_part_of_the_program_and_nothing_beside_it_is() {
        assert!(file("index.html").is_ok());
        for name in ["../Cargo.toml", "", "/index.html", "./index.html", "none.js"] {
            assert!(file(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_page_that_asks_for_the_token_looks_as_the_other() {
        let styles = |name: &str| {
            let page = page_file(name);
            let lines = page.lines().filter(|line| line.contains("stylesheet"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(styles("login.html"), styles("index.html"));
    }

    #[test]
    fn every_file_has_a_content_type_of_its_own() {
        for name in Assets::iter() {
            assert_ne!(content_type(&name), "application/octet-stream", "{name}");
        }
    }
}
