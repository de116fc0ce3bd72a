//! `vm create|start|suspend|resume|stop|delete|list|show`.

use crate::connection::{ANSWER_DEADLINE, AskError, deadline_of};
use crate::definition::Definition;
use crate::fleet::FleetError;
use crate::grammar::{KeyValue, VmAction};
use crate::manager::{Manager, State};
use crate::render::{guest_figure, pause, phase_name, pool_table, progress, table, table_or};
use crate::reply::{CommandError, Reply};
use lazycopy_protocol::control::{MAX_SHOWN_PAGES, ServerCommand, ServerReply, VmPhase, VmSummary};
use serde_json::{Value, json};
use std::sync::Arc;

impl Manager {
    pub(super) async fn vm_command(&self, action: VmAction) -> Result<Reply, CommandError> {
        match action {
            VmAction::Create { name, on, scenario, set } => {
                let set: Vec<String> = set.iter().map(KeyValue::assignment).collect();
                let definition = read_definition(scenario, set).await?;
                self.create_vm(name.as_str(), &on, definition).await
            }
            VmAction::Start { name } => {
                let command = |vm| ServerCommand::StartVm { vm };
                self.change_vm(name, command, VmPhase::Running, "runs").await
            }
            VmAction::Suspend { name } => {
                let command = |vm| ServerCommand::SuspendVm { vm };
                self.change_vm(name, command, VmPhase::Suspended, "is suspended").await
            }
            VmAction::Resume { name } => {
                let command = |vm| ServerCommand::ResumeVm { vm };
                self.change_vm(name, command, VmPhase::Running, "runs again").await
            }
            VmAction::Stop { name } => {
                let command = |vm| ServerCommand::StopVm { vm };
                self.change_vm(name, command, VmPhase::Stopped, "is stopped").await
            }
            VmAction::Delete { name, force } => self.delete_vm(name, force).await,
            VmAction::List => Ok(self.list_vms().await),
            VmAction::Show { name } => self.show_vm(&name).await,
        }
    }

    /// Creates a guest on a server.
    ///
    /// # Errors
    /// When its name is taken, it does not fit, or the server refuses.
    pub async fn create_vm(
        &self,
        name: &str,
        server: &str,
        definition: Definition,
    ) -> Result<Reply, CommandError> {
        let warnings: Vec<String> =
            definition.scenario().warnings().iter().map(ToString::to_string).collect();
        let definition = Arc::new(definition);
        let create = definition.create_vm(name);
        let (pages, frames) = (create.spec.pages, create.spec.frames);
        self.change(|state| state.fleet.create_vm(name, server, definition))?;
        let vm = name.to_owned();
        let settle = move |manager: &Manager, told: Result<(), AskError>| {
            if told.is_err() {
                manager.change(|state| state.fleet.forget_vm(&vm));
            }
            told
        };
        let create = ServerCommand::CreateVm(create);
        let within = deadline_of(&create);
        let answers = self.connection(server).map(drop);
        match answers {
            Ok(()) => self.have_done(server, create, within, settle).await??,
            refused => settle(self, refused)?,
        }
        // Neither is the guest without its definition.
        self.kept().await;
        let mut text =
            format!("Guest \"{name}\" is on server \"{server}\": {pages} pages, {frames} frames.");
        for warning in &warnings {
            text.push_str(&format!("\nWarning: {warning}"));
        }
        let json = json!({
            "vm": name, "server": server, "pages": pages, "frames": frames, "warnings": warnings
        });
        Ok(Reply::new(text, json))
    }

    /// Has a guest do something else.
    async fn change_vm(
        &self,
        name: String,
        command: impl FnOnce(String) -> ServerCommand,
        phase: VmPhase,
        now: &str,
    ) -> Result<Reply, CommandError> {
        let server = self.settled_on(&name)?;
        self.connection(&server)?;
        let vm = name.clone();
        let settle = move |manager: &Manager, told: Result<(), AskError>| {
            told.map(|()| manager.change(|state| state.fleet.set_phase(&vm, phase)))
        };
        self.have_done(&server, command(name.clone()), ANSWER_DEADLINE, settle).await??;
        let text = format!("Guest \"{name}\" {now} on server \"{server}\".");
        let json = json!({ "vm": name, "server": server, "phase": phase });
        Ok(Reply::new(text, json))
    }

    /// The server of a guest that is not migrating.
    fn settled_on(&self, name: &str) -> Result<String, FleetError> {
        self.read(|state| Ok(state.fleet.settled_vm(name)?.server.clone()))
    }

    async fn delete_vm(&self, name: String, force: bool) -> Result<Reply, CommandError> {
        let server = self.settled_on(&name)?;
        let delete = ServerCommand::DeleteVm { vm: name.clone(), force };
        self.connection(&server)?;
        let vm = name.clone();
        let settle = move |manager: &Manager, told: Result<(), AskError>| {
            told.map(|()| manager.change(|state| state.fleet.forget_vm(&vm)))
        };
        self.have_done(&server, delete, ANSWER_DEADLINE, settle).await??;
        self.kept().await;
        Ok(Reply::message(format!("Guest \"{name}\" is deleted.")))
    }

    async fn show_vm(&self, name: &str) -> Result<Reply, CommandError> {
        let (mut server, migration) = self.read(|state| {
            let server = state.fleet.vm(name)?.server.clone();
            let migration = state.fleet.migration_of(name);
            let migration = migration
                .map(|(id, it)| (id, it.destination.clone(), it.transfer, it.pause().cloned()));
            Ok::<_, FleetError>((server, migration))
        })?;
        let show = || ServerCommand::ShowVm { vm: name.to_owned(), limit: MAX_SHOWN_PAGES };
        let ask = async |server: &str| self.connection(server)?.ask(show()).await;
        let mut shown = ask(&server).await;
        // A guest that was freed at the source is at its destination, also before its run is over.
        if let (Err(_), Some((_, destination, ..))) = (&shown, &migration) {
            server = destination.clone();
            shown = ask(&server).await;
        }
        let ServerReply::Vm(vm) = shown? else {
            return Err(AskError::Beside { server }.into());
        };
        let phase = phase_name(vm.summary.phase);
        let body = match &vm.snapshot {
            Some(snapshot) => guest_figure(snapshot),
            None => "It has no memory now.".to_owned(),
        };
        let mut text = format!("Guest \"{name}\" on server \"{server}\": {phase}\n");
        let mut json = json!({ "server": server, "vm": vm });
        if let Some((id, destination, transfer, broken)) = migration {
            let so_far = progress(&transfer);
            text.push_str(&format!("Migration {} to \"{destination}\": {so_far}\n", id.0));
            if let Some(broken) = &broken {
                text.push_str(&format!("It is {}\n", pause(name, broken)));
            }
            json["migration"] = json!({ "migration": id, "progress": transfer, "pause": broken });
        }
        text.push_str(&body);
        Ok(Reply::new(text.trim_end(), json))
    }

    /// The guests of all servers, as these tell of them now; those of a server that does not
    /// answer are left out, and that is said.
    async fn list_vms(&self) -> Reply {
        let connections = self.read(|state| state.connections.clone());
        let asked = connections.into_iter().map(|(server, connection)| async move {
            (server, connection.ask(ServerCommand::ShowHost).await)
        });
        let (mut pools, mut left_out) = (Vec::new(), Vec::new());
        for (server, answer) in futures_util::future::join_all(asked).await {
            match answer {
                Ok(ServerReply::Host(host)) => pools.push((server, host.vms)),
                Ok(_) | Err(AskError::Gone { .. }) => {}
                Err(error) => left_out.push((server, error)),
            }
        }
        let (mut text, json) = list(&pools);
        for (server, error) in &left_out {
            let left_out = format!("The guests of server \"{server}\" are not listed: {error}");
            text = if pools.is_empty() { left_out } else { format!("{text}\n\n{left_out}") };
        }
        let left_out: Vec<String> = left_out.into_iter().map(|(server, _)| server).collect();
        Reply::new(text, json!({ "vms": json, "left_out": left_out }))
    }
}

fn list(pools: &[(String, Vec<VmSummary>)]) -> (String, Vec<Value>) {
    let occupied = pools.iter().filter(|(_, vms)| !vms.is_empty());
    let texts: Vec<String> = occupied
        .map(|(server, vms)| format!("On server \"{server}\":\n{}", pool_table(vms)))
        .collect();
    let json = pools
        .iter()
        .flat_map(|(server, vms)| vms.iter().map(move |vm| json!({ "server": server, "vm": vm })))
        .collect();
    match texts.is_empty() {
        true => ("No guests. Create one with: vm create NAME --on SERVER".to_owned(), json),
        false => (texts.join("\n\n"), json),
    }
}

/// Reads a scenario; a recorded program is read through for its size, which takes its time.
async fn read_definition(scenario: String, set: Vec<String>) -> Result<Definition, CommandError> {
    let read = tokio::task::spawn_blocking(move || Definition::read(&scenario, &set));
    match read.await {
        Ok(definition) => definition.map_err(|error| CommandError::Scenario(error.to_string())),
        Err(error) => Err(CommandError::Scenario(error.to_string())),
    }
}

/// The guests as a table, as far as the manager has heard of them.
pub(super) fn vms_table(state: &State) -> String {
    let mut vms = table(&["guest", "server", "phase", "pages", "frames"]);
    for (name, vm) in state.fleet.vms() {
        let phase = match state.fleet.migration_of(name) {
            Some((_, migration)) if !migration.has_arrived() => {
                let paused = if migration.pause().is_some() { ", paused" } else { "" };
                format!("migrating to {}{paused}", migration.destination)
            }
            _ => phase_name(vm.phase).to_owned(),
        };
        let (pages, frames) = (vm.pages.to_string(), vm.frames.to_string());
        vms.add_row([name.to_owned(), vm.server.clone(), phase, pages, frames]);
    }
    table_or(vms, "No guests.")
}
