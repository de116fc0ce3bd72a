//! `server rebalance`: evening out what the servers have taken.

use super::gang_report::Report;
use super::journey::{Errand, Gang};
use crate::fleet::{Rebalancing, Room};
use crate::grammar::GangOptions;
use crate::manager::Manager;
use crate::render::{aligned, percent, table};
use crate::reply::{CommandError, Reply};
use futures_util::future::join_all;
use serde_json::{Value, json};

impl Manager {
    pub(super) async fn rebalance(&self, options: &GangOptions) -> Result<Reply, CommandError> {
        let mut plan = self.read(|state| state.fleet.plan_rebalancing());
        if let Some(first) = plan.moves.first() {
            self.check_settings(&first.moved.from, options).await?;
        }
        if !options.dry_run {
            plan = self.change(|state| {
                let plan = state.fleet.plan_rebalancing();
                state.fleet.begin_rebalancing(&plan).map(|()| plan)
            })?;
        }
        let (text, json) = (plan_text(&plan), plan_json(&plan));
        if options.dry_run {
            return Ok(Reply::new(text, json));
        }
        let gang = Gang::new(options, plan.moves.len(), None);
        let errands = plan.moves.iter().map(|step| {
            let moved = step.moved.clone();
            self.travel(&gang, Errand { vm: moved.vm, from: moved.from, to: Some(moved.to) })
        });
        let report = Report::new(join_all(errands).await, &gang);
        self.change(|state| state.fleet.end_rebalancing());
        if plan.moves.is_empty() {
            return Ok(Reply::new(text, json));
        }
        match report.reply("the servers", json) {
            Ok(reply) => Ok(Reply::new(format!("{text}\n\n{}", reply.text), reply.json)),
            Err(error) => Err(error.with_note(&format!("\n{text}"))),
        }
    }
}

fn plan_text(plan: &Rebalancing) -> String {
    let mut servers = table(&["server", "frames", "taken", "share", "then", "share"]);
    for (before, after) in plan.before.iter().zip(&plan.after) {
        servers.add_row([
            before.server.clone(),
            before.frames.to_string(),
            before.taken.to_string(),
            percent(Some(before.share())),
            after.taken.to_string(),
            percent(Some(after.share())),
        ]);
    }
    if plan.moves.is_empty() {
        let why = "Nothing to move: no single guest's move would make the servers more even.";
        return format!("{why}\n{}", aligned(servers));
    }
    let shares = |(before, after): (f64, f64)| {
        format!("{} to {}", percent(Some(before)), percent(Some(after)))
    };
    let mut moves = table(&["guest", "frames", "from", "its share", "to", "its share"]);
    for step in &plan.moves {
        moves.add_row([
            step.moved.vm.clone(),
            step.moved.frames.to_string(),
            step.moved.from.clone(),
            shares(step.from_share),
            step.moved.to.clone(),
            shares(step.to_share),
        ]);
    }
    format!("{}\n\n{}", aligned(moves), aligned(servers))
}

fn plan_json(plan: &Rebalancing) -> Value {
    let moves: Vec<Value> = plan
        .moves
        .iter()
        .map(|step| {
            json!({
                "vm": step.moved.vm, "frames": step.moved.frames,
                "source": step.moved.from, "destination": step.moved.to,
                "source_share": [step.from_share.0, step.from_share.1],
                "destination_share": [step.to_share.0, step.to_share.1],
            })
        })
        .collect();
    let server = |(before, after): (&Room, &Room)| {
        json!({
            "name": before.server, "frames": before.frames, "frames_taken": before.taken,
            "share": before.share(), "frames_taken_after": after.taken, "share_after": after.share(),
        })
    };
    let servers: Vec<Value> = plan.before.iter().zip(&plan.after).map(server).collect();
    json!({ "plan": { "moves": moves, "servers": servers } })
}
