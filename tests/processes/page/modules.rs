//! What the page works out by itself, without a browser: its modules are run by a JavaScript
//! engine of their own.

use super::Page;
use crate::common::{FAST, result, runs};
use rquickjs::loader::{BuiltinLoader, BuiltinResolver};
use rquickjs::{CatchResultExt, Context, Module, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Where the page's modules are.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/manager/web");

/// Runs a module that sees `given`, and gives what it leaves as `globalThis.answer`.
fn run_module(given: &Value, source: &str) -> Value {
    let runtime = Runtime::new().expect("there is memory for an engine");
    let (mut resolver, mut loader) = (BuiltinResolver::default(), BuiltinLoader::default());
    for file in fs::read_dir(MODULES).expect("they are there") {
        let path = file.expect("it can be listed").path();
        if path.extension().is_some_and(|extension| extension == "js") {
            let name = path.file_name().expect("it has a name").to_str().expect("of letters");
            resolver.add_module(name);
            loader.add_module(name, fs::read_to_string(&path).expect("it can be read"));
        }
    }
    runtime.set_loader(resolver, loader);
    let context = Context::full(&runtime).expect("there is memory for an engine");
    context.with(|js| {
        js.globals().set("given_text", given.to_string()).expect("a text can be given");
        let source = format!("const given = JSON.parse(given_text);\n{source}");
        Module::evaluate(js.clone(), "test", source)
            .and_then(|module| module.finish::<()>())
            .catch(&js)
            .unwrap_or_else(|error| panic!("{error}"));
        let answer: String = js.eval("JSON.stringify(globalThis.answer)").expect("it has answered");
        serde_json::from_str(&answer).expect("it is JSON")
    })
}

/// The memory that a table lists, from least to most recently used.
fn listed_memory(text: &str) -> Vec<u64> {
    let table = text.split("least recently used first").nth(1).expect("it lists a memory");
    let rows = table.lines().skip(1).take_while(|row| {
        row.starts_with(' ') && row.trim_start().starts_with(|first: char| first.is_ascii_digit())
    });
    rows.flat_map(str::split_whitespace)
        .map(|page| page.trim_end_matches('*').parse().expect("a page number"))
        .collect()
}

fn play(page: &Page, run: &Path) -> Value {
    let name = run.file_name().expect("it has a name").to_str().expect("of letters");
    let read = |path: &str| page.read(&format!("/api/runs/{name}{path}"));
    let given = json!({
        "result": result(run),
        "events": read("/events").body,
        "before": read("/before").body,
        "accesses": read("/accesses").json(),
    });
    run_module(
        &given,
        r#"
        import { Player } from "reducer.js";
        import { parseEvents, readRun } from "run.js";
        const { result, events, before, accesses } = given;
        const player = new Player(readRun(result, parseEvents(events), { before, accesses }));
        const seen = (state) => JSON.stringify({
            pages: state.destination.memory.pages(), faults: state.faults, stall: state.stall,
            arrived: state.arrived, source: state.source.guest, destination: state.destination.guest,
        });
        const straight = seen(player.seekTime(Infinity));
        for (const part of [0.9, 0.1, 0.5, 0, 0.3]) player.seek(Math.floor(player.steps.length * part));
        const again = seen(player.seekTime(Infinity));
        globalThis.answer = { ...JSON.parse(straight), same: straight === again, notes: player.run.notes };
        "#,
    )
}

#[test]
fn a_run_that_is_played_back_ends_with_the_memory_and_the_counts_of_its_files() {
    let page = Page::with_servers();
    for scheme in ["post-copy", "lazy-copy", "pre-copy", "stop-and-copy", "hybrid-lazy-copy"] {
        let vm = format!("v-{scheme}");
        page.commands(&format!("vm create {vm} --on a {FAST} --set seed=7"));
        page.commands(&format!("migrate {vm} --to b --scheme {scheme} --wait"));
    }
    let mut played = 0;
    for run in runs(page.manager.directory.path()) {
        let (shown, result) = (play(&page, &run), result(&run));
        let after = fs::read_to_string(run.join("after.txt")).unwrap();
        let scheme = &result["scheme"];
        assert_eq!(shown["pages"], json!(listed_memory(&after)), "{scheme}: {}", shown["notes"]);
        assert_eq!(shown["faults"]["remote"], result["faults_remote"], "{scheme}");
        assert_eq!(shown["faults"]["disk"], result["faults_disk"], "{scheme}");
        assert_eq!(shown["stall"], result["stall_time_ns"], "{scheme}");
        for cause in ["round", "background", "forward", "demand"] {
            assert_eq!(shown["arrived"][cause], result[format!("pages_{cause}")], "{scheme}");
        }
        assert_eq!((&shown["source"], &shown["destination"]), (&json!("gone"), &json!("running")));
        assert_eq!(shown["same"], true, "{scheme}: going back and forth changes what is seen");
        played += 1;
    }
    assert_eq!(played, 5);
    page.end();
}

#[test]
fn progress_and_time_left_never_run_backwards_whatever_is_said() {
    let shown = run_module(
        &json!({ "said": [[0.1, 900], [0.4, 500], [0.3, 700], [null, null], [0.35, 450], [0.9, 460]] }),
        r#"
        import { Estimates } from "estimate.js";
        const estimates = new Estimates();
        globalThis.answer = given.said.map(([progress, left_ns]) =>
            estimates.of({ id: 1, phase: "pushing", progress, left_ns }));
        globalThis.answer.push(estimates.of({ id: 1, phase: "ended", outcome: "completed" }));
        const of_another_manager = { id: 1, started_unix_ms: 5, phase: "pushing", progress: 0.2, left_ns: 800 };
        globalThis.answer.push(estimates.of(of_another_manager));
        "#,
    );
    let column = |key: &str| -> Vec<Value> {
        shown.as_array().unwrap().iter().map(|row| row[key].clone()).collect()
    };
    assert_eq!(json!(column("progress")), json!([0.1, 0.4, 0.4, 0.4, 0.4, 0.9, 1, 0.2]));
    assert_eq!(json!(column("left_ns")), json!([900, 500, 500, 500, 450, 450, 0, 800]));
}

#[test]
fn the_guest_that_was_chosen_stands_first_then_those_that_migrate() {
    let shown = run_module(
        &json!({}),
        r#"
        import { placesOf } from "servers.js";
        const vms = ["u", "v", "w", "x"].map((name) => ({ name, server: "a" }));
        const migrations = [{ vm: "w", source: "a", destination: "b", phase: "pushing" }];
        const snapshot = { servers: [{ name: "a" }, { name: "b" }], vms, migrations };
        const names = (chosen) => placesOf(snapshot, chosen).map(({ places }) => places.map(({ vm }) => vm.name));
        globalThis.answer = [names(), names("x")];
        "#,
    );
    assert_eq!(shown, json!([[["w", "u", "v", "x"], ["w"]], [["x", "w", "u", "v"], ["w"]]]));
}

#[test]
fn the_pages_memory_keeps_the_order_of_a_pager() {
    let shown = run_module(
        &json!({}),
        r#"
        import { Memory } from "memory.js";
        const memory = new Memory(3);
        const cell = (page) => ({ page, dirty: false, cause: "own" });
        const seen = [];
        for (const page of [1, 2, 3]) memory.installRecent(cell(page));
        memory.touch(1, true);
        seen.push(memory.pages(), memory.installRecent(cell(4)), memory.pages());
        memory.remove(3);
        memory.installLeast(cell(5));
        memory.installLeast(cell(6));
        seen.push(memory.pages(), memory.installRecent(cell(7)), memory.pages(), memory.cell(1).dirty);
        globalThis.answer = seen;
        "#,
    );
    assert_eq!(shown, json!([[2, 3, 1], 2, [3, 1, 4], [5, 1, 4], 5, [1, 4, 7], true]));
}

#[test]
fn numbers_on_the_page_read_as_they_do_elsewhere() {
    let shown = run_module(
        &json!({}),
        r#"
        import * as format from "format.js";
        globalThis.answer = [
            format.duration(13_980_000_000), format.duration(999_999), format.duration(null),
            format.clock(10_719_455_000), format.bytes(86_512), format.count(1_234_567),
            format.parseDuration("970ms"), format.parseRate("1Gbit/s"), format.parseRate("unlimited"),
        ];
        "#,
    );
    let wanted = json!([
        "13.98 s",
        "1 ms",
        "-",
        "10.719 s",
        "86.5 kB",
        "1,234,567",
        970_000_000,
        125_000_000,
        null
    ]);
    assert_eq!(shown, wanted);
}
