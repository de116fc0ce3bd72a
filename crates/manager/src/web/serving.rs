//! The routes of the page, and what holds for all of them.

use super::failure::Failure;
use super::guard::{LOGIN, guard};
use super::{Web, access, assets, command, listener, live, runs};
use crate::manager::Manager;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Scripts, styles and data from here alone, and in no other page's frame.
const POLICY: &str = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What handlers work with.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) manager: Manager,
    pub(super) web: Arc<Web>,
}

/// Serves the page until it is closed and what was begun is written.
pub(super) async fn serve(listener: TcpListener, manager: Manager, web: Arc<Web>) {
    let app = router(Serving { manager, web: Arc::clone(&web) });
    listener::serve(listener, app, &web).await;
    web.closed.cancel();
}

fn router(serving: Serving) -> Router {
    let web = Arc::clone(&serving.web);
    Router::new()
        .route("/", get(assets::page))
        .route("/assets/{*name}", get(assets::asset))
        .route("/api/state", get(state))
        .route("/api/live", get(live::live))
        .route("/api/command", post(command::command))
        .route(LOGIN, post(access::show))
        .route("/api/runs", get(runs::list))
        .route("/api/runs/{name}", get(runs::result))
        .route("/api/runs/{name}/events", get(runs::events))
        .route("/api/runs/{name}/before", get(runs::before))
        .route("/api/runs/{name}/accesses", get(runs::accesses))
        .route("/metrics", get(metrics))
        .fallback(async |request: Request| {
            Failure::unknown(format!("there is nothing at {}", request.uri().path()))
        })
        .method_not_allowed_fallback(async |request: Request| {
            let (method, path) = (request.method(), request.uri().path());
            Failure::wrong_method(format!("{path} takes no {method}"))
        })
        // The guard limits bodies.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(web, guard))
        .layer(middleware::from_fn(for_all))
        .with_state(serving)
}

/// What every answer says of itself.
async fn for_all(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let says = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in says {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// JSON that is written already.
pub(super) fn json(document: impl AsRef<str>) -> Response {
    let document = document.as_ref().to_owned();
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

async fn state(State(Serving { manager, web }): State<Serving>) -> Response {
    json(web.picture(&manager).await)
}

async fn metrics(State(Serving { manager, web }): State<Serving>) -> Result<Response, Failure> {
    let text = web.picture.hub.meters.text(&manager).map_err(Failure::internal)?;
    Ok(([(CONTENT_TYPE, crate::picture::metrics::CONTENT_TYPE)], text).into_response())
}
