use super::super::hub::Hub;
use super::super::watcher::Question;
use super::*;
use crate::definition::Definition;
use crate::fleet::Request;
use lazycopy_guest::{Registers, ResidentPage};
use lazycopy_migration::{Cause, Event, EventKind, Fate, Side};
use lazycopy_protocol::control::{
    HostState, MemoryDensity, MigrationKey, Moving, ServerHello, ServerReply, Watch,
};
use lazycopy_units::{Instant, PageNumber};
use serde_json::{Value, json};
use std::sync::Arc;

/// A guest "v" that migrates from "a" to "b".
struct Scene {
    fleet: Fleet,
    hub: Hub,
    id: MigrationId,
    answers: Answers,
    definition: Arc<Definition>,
}

impl Scene {
    fn open() -> Scene {
        let mut fleet = Fleet::default();
        for name in ["a", "b"] {
            let hello = ServerHello {
                version: "0".to_owned(),
                name: name.to_owned(),
                pid: 7,
                address: format!("{name}.example:1"),
                frames: 100,
                vms: Vec::new(),
                sides: Vec::new(),
                pace: Pace::default(),
            };
            fleet.introduce(hello).unwrap();
        }
        let definition = Arc::new(Definition::read("paper", &[]).unwrap());
        fleet.create_vm("v", "a", Arc::clone(&definition)).unwrap();
        let scenario = Arc::new(definition.scenario().clone());
        let request = Request {
            vm: "v".to_owned(),
            destination: "b".to_owned(),
            parameters: scenario.migration_parameters(),
            link: scenario.link(),
            scenario,
            watch: Watch::All,
            key: MigrationKey::new([1; 32]),
            began_unix_ms: 0,
        };
        let scheme = request.parameters.scheme;
        let id = fleet.begin_migration(request).unwrap().migration;
        let hub = Hub::default();
        hub.began(id, "v", "b", scheme);
        Scene { fleet, hub, id, answers: Answers::default(), definition }
    }

    fn state(&self, snapshot: Option<GuestSnapshot>) -> Box<VmState> {
        let summary = VmSummary {
            vm: "v".to_owned(),
            phase: VmPhase::MigratingIn,
            pages: 50,
            frames: 20,
            accesses: 9,
            miss_ratio: Some(0.5),
            recent_miss_ratio: None,
            real_memory: false,
        };
        let spec = self.definition.spec().clone();
        Box::new(VmState { summary, spec, snapshot, moving: None, density: None })
    }

    fn answers(&mut self, server: &str, state: Box<VmState>) {
        let (server, vm, migration) = (server.to_owned(), "v".to_owned(), Some(self.id));
        let question = Question::Vm { server, vm, limit: 20, migration };
        self.answers.take(question, Some(ServerReply::Vm(state)));
    }

    fn arrives(&self, page: u32, cause: Cause) {
        let (page, fate) = (PageNumber(page), Fate::Installed);
        let kind = EventKind::PageArrived { page, cause, fate };
        self.hub.saw(self.id, &Event { at: Instant::ZERO, side: Side::Destination, kind });
    }

    fn shown(&self) -> Value {
        let snapshot = self.hub.look(|followed| {
            let (fleet, answers) = (&self.fleet, &self.answers);
            View { fleet, followed, answers }.snapshot(Path::new("results"))
        });
        serde_json::from_str(&snapshot.body()).unwrap()
    }
}

fn guest(pages: &[u32]) -> GuestSnapshot {
    let resident = |page: &u32| ResidentPage { page: PageNumber(*page), stamp: 1, dirty: true };
    GuestSnapshot {
        registers: Registers { accesses: 9, digest: 0, misses: 3 },
        pages: 50,
        frames: 20,
        resident_count: pages.len() as u32,
        resident: pages.iter().map(resident).collect(),
        miss_ratio: None,
        recent_miss_ratio: None,
    }
}

#[test]
fn servers_guests_and_migrations_are_shown_before_any_server_has_answered() {
    let scene = Scene::open();
    let shown = scene.shown();
    assert_eq!(shown["results"], "results");
    let a = json!({
        "name": "a", "address": "a.example:1", "pid": 7, "frames": 100, "frames_taken": 20,
        "state": "ready",
    });
    assert_eq!(shown["servers"][0], a);
    let v = &shown["vms"][0];
    assert_eq!((&v["phase"], &v["migration"]), (&json!("migrating_out"), &json!(1)));
    assert_eq!((&v["memory"], &v["frames"]), (&Value::Null, &json!(20)));
    let migration = &shown["migrations"][0];
    assert_eq!((&migration["phase"], &migration["progress"]), (&json!("preparing"), &json!(0.0)));
    assert_eq!((&migration["left_ns"], &migration["outcome"]), (&Value::Null, &Value::Null));
}

#[test]
fn cells_are_in_the_order_of_their_use_and_know_what_brought_them() {
    let mut scene = Scene::open();
    scene.arrives(17, Cause::Forward);
    scene.answers("b", scene.state(Some(guest(&[4, 17]))));
    scene.answers("a", scene.state(Some(guest(&[17]))));
    let shown = scene.shown();
    let migration = &shown["migrations"][0];
    let memory = json!({
        "kind": "cells", "frames": 20, "cells": [
            { "page": 4, "dirty": true, "cause": "own" },
            { "page": 17, "dirty": true, "cause": "forward" },
        ],
    });
    assert_eq!(migration["destination_memory"], memory);
    assert_eq!(migration["source_memory"]["cells"][0]["cause"], "own");
    assert_eq!(migration["arrived"]["forward"], 1);
}

#[test]
fn a_page_that_has_left_the_source_shows_by_which_lane() {
    let mut scene = Scene::open();
    let kind = EventKind::PageSent { page: PageNumber(4), cause: Cause::Demand };
    scene.hub.saw(scene.id, &Event { at: Instant::ZERO, side: Side::Source, kind });
    scene.answers("a", scene.state(Some(guest(&[4, 17]))));
    let cells = [
        json!({ "page": 4, "dirty": true, "cause": "own", "sent": "demand" }),
        json!({ "page": 17, "dirty": true, "cause": "own" }),
    ];
    assert_eq!(scene.shown()["migrations"][0]["source_memory"]["cells"], json!(cells));
}

#[test]
fn pages_that_are_sent_ahead_of_the_context_are_seen_at_the_destination() {
    let mut scene = Scene::open();
    scene.answers("b", scene.state(None));
    assert_eq!(scene.shown()["migrations"][0]["destination_memory"], Value::Null);
    scene.arrives(3, Cause::Round);
    let cells = &scene.shown()["migrations"][0]["destination_memory"]["cells"];
    assert_eq!(*cells, json!([{ "page": 3, "dirty": false, "cause": "round" }]));
}

#[test]
fn what_is_left_at_the_source_is_shown_and_where_the_forward_context_is() {
    let mut scene = Scene::open();
    let (side, at) = (Side::Source, Instant::ZERO);
    let moving = Some(Box::new(Moving { side, at, left: Some(guest(&[5])) }));
    let state = Box::new(VmState { moving, ..*scene.state(None) });
    scene.hub.shown(scene.id, &state);
    scene.answers("a", state);
    let shown = scene.shown();
    let migration = &shown["migrations"][0];
    assert_eq!(migration["forward_accesses"], 9);
    assert_eq!(migration["following_accesses"], Value::Null);
    assert_eq!(migration["source_memory"]["cells"][0]["page"], 5);
}

#[test]
fn how_far_a_migration_is_is_seen_by_who_has_not_heard_of_it() {
    let scene = Scene::open();
    let shows = |side, left: Option<GuestSnapshot>, at: Option<GuestSnapshot>, phase| {
        let mut state = scene.state(at);
        state.summary.phase = phase;
        state.moving = Some(Box::new(Moving { side, at: Instant::ZERO, left }));
        scene.hub.shown(scene.id, &state);
        scene.shown()["migrations"][0]["phase"].clone()
    };
    assert_eq!(shows(Side::Source, None, None, VmPhase::MigratingOut), "preparing");
    assert_eq!(shows(Side::Destination, None, None, VmPhase::MigratingIn), "preparing");
    assert_eq!(shows(Side::Source, Some(guest(&[5])), None, VmPhase::MigratingOut), "down");
    let here = || Some(guest(&[5]));
    assert_eq!(shows(Side::Destination, None, here(), VmPhase::MigratingIn), "pushing");
    assert_eq!(shows(Side::Destination, None, here(), VmPhase::Running), "measuring");
}

#[test]
fn a_large_memory_is_a_density() {
    let mut scene = Scene::open();
    let (resident, forward) = (vec![0.5], vec![0.25]);
    let density = Some(Box::new(MemoryDensity { resident, forward, ..MemoryDensity::default() }));
    let state = Box::new(VmState { density, ..*scene.state(Some(guest(&[1]))) });
    scene.answers("b", state);
    let memory = json!({
        "kind": "density", "pages": 50, "frames": 20, "resident": [0.5],
        "by_cause": { "forward": [0.25] },
    });
    assert_eq!(scene.shown()["migrations"][0]["destination_memory"], memory);
}

#[test]
fn what_a_server_does_not_show_any_more_is_not_shown() {
    let mut scene = Scene::open();
    scene.answers("a", scene.state(Some(guest(&[1]))));
    assert_ne!(scene.shown()["vms"][0]["memory"], Value::Null);
    let (server, vm, migration) = ("a".to_owned(), "v".to_owned(), Some(scene.id));
    let question = Question::Vm { server: server.clone(), vm, limit: 20, migration };
    scene.answers.take(question, None);
    assert_eq!(scene.shown()["vms"][0]["memory"], Value::Null);
    let listed = vec![scene.state(None).summary];
    let host = HostState { server: "a".to_owned(), frames: 100, frames_taken: 20, vms: listed };
    scene.answers.take(Question::Host { server }, Some(ServerReply::Host(host)));
    assert_eq!(scene.shown()["vms"][0]["accesses"], 9);
}

#[test]
fn a_server_that_does_not_answer_is_shown_so_and_one_that_is_away_is_waited_for() {
    let mut scene = Scene::open();
    scene.fleet.set_silent("a", Some(1));
    scene.fleet.server_away("b");
    let states = |scene: &Scene| {
        let servers = &scene.shown()["servers"];
        [0, 1].map(|number| servers[number]["state"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(states(&scene), ["silent", "away"]);
    scene.fleet.set_silent("a", None);
    scene.fleet.server_lost("b");
    assert_eq!(states(&scene), ["ready", "gone"]);
}
