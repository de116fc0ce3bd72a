//! `server evacuate|drain|undrain`: moving every guest off a server.

use super::gang_report::{Report, plan_reply};
use super::journey::{Errand, Fate, Gang, Journey};
use super::migrate::explicit_settings;
use crate::fleet::{Evacuation, FleetError};
use crate::grammar::GangOptions;
use crate::manager::Manager;
use crate::reply::{CommandError, Reply};
use futures_util::future::join_all;
use serde_json::json;

impl Manager {
    /// Moves every guest off a server; with `drain` it takes no others from now on.
    pub(super) async fn evacuate(
        &self,
        from: &str,
        to: Vec<String>,
        options: &GangOptions,
        drain: bool,
    ) -> Result<Reply, CommandError> {
        let plan = self.read(|state| state.fleet.plan_evacuation(from, &to))?;
        self.check_settings(from, options).await?;
        if options.dry_run {
            return Ok(plan_reply(from, &plan));
        }
        let plan = self.change(|state| {
            // Planned anew: the settings took their time.
            let plan = state.fleet.plan_evacuation(from, &to)?;
            state.fleet.begin_evacuation(from, &plan)?;
            if drain {
                state.fleet.drain(from)?;
            }
            Ok::<_, FleetError>(plan)
        })?;
        self.kept().await;
        let report = self.carry_out(from, to, options, plan).await;
        self.change(|state| state.fleet.end_evacuation(from));
        // Somebody may have thought better of it meanwhile.
        let drains = self.read(|state| {
            state.fleet.servers().any(|(name, server)| name == from && server.draining)
        });
        let json = json!({ "server": from, "draining": drains });
        let (what, undo) = (format!("server \"{from}\""), format!("server undrain {from}"));
        let report = report.reply(&what, json);
        if !(drain && drains) {
            return report;
        }
        let note = format!("Server \"{from}\" takes no guests until: {undo}");
        match report {
            Ok(reply) => Ok(Reply::new(format!("{}\n{note}", reply.text), reply.json)),
            Err(error) => Err(error.with_note(&note)),
        }
    }

    async fn carry_out(
        &self,
        from: &str,
        to: Vec<String>,
        options: &GangOptions,
        plan: Evacuation,
    ) -> Report {
        let migrations = plan.moves.len() + plan.under_way.len();
        let gang = Gang::new(options, migrations, Some(to));
        let mut journeys = Vec::new();
        // Before any other guest claims the frames: a guest that is defined has them for a moment.
        for relocation in &plan.relocations {
            journeys.push(self.relocate(relocation).await);
        }
        let leaves = |vm: String, to: Option<String>| Errand { vm, from: from.to_owned(), to };
        let planned = plan.moves.into_iter().map(|planned| leaves(planned.vm, Some(planned.to)));
        let under_way = plan.under_way.into_iter().map(|vm| leaves(vm, None));
        let errands = planned.chain(under_way).map(|errand| self.travel(&gang, errand));
        let migrated = join_all(errands).await;
        let stays = plan.stays.into_iter().map(|stay| {
            let fate = Fate::Remains { why: stay.why };
            Journey::without_attempt(&stay.vm, from, fate)
        });
        let mut all: Vec<Journey> = migrated.into_iter().chain(journeys).chain(stays).collect();
        all.extend(self.newcomers(from, &all));
        Report::new(all, &gang)
    }

    /// Guests that are on a server that was evacuated and were not when that began.
    fn newcomers(&self, on: &str, known: &[Journey]) -> Vec<Journey> {
        let is_known = |vm: &str| known.iter().any(|journey| journey.vm == vm);
        let newcomer = |vm: &str| {
            let why = "it came while the server was evacuated".to_owned();
            Journey::without_attempt(vm, on, Fate::Remains { why })
        };
        self.read(|state| {
            let vms = state.fleet.vms().filter(|(name, vm)| vm.server == on && !is_known(name));
            vms.map(|(name, _)| newcomer(name)).collect()
        })
    }

    pub(super) async fn undrain(&self, name: &str) -> Result<Reply, CommandError> {
        self.change(|state| state.fleet.undrain(name))?;
        self.kept().await;
        Ok(Reply::message(format!("Server \"{name}\" takes guests again.")))
    }

    /// Tries the settings on one of the server's guests, so that a typo moves and changes nothing.
    pub(super) async fn check_settings(
        &self,
        server: &str,
        options: &GangOptions,
    ) -> Result<(), CommandError> {
        let vm = self.read(|state| {
            let mut vms = state.fleet.vms().filter(|(_, vm)| vm.server == server);
            vms.next().map(|(name, _)| name.to_owned())
        });
        match vm {
            Some(vm) => {
                let settings = explicit_settings(options.scheme, &options.set);
                self.migration_scenario(&vm, &settings).await.map(drop)
            }
            None => Ok(()),
        }
    }
}
