//! `watch`, where there is no terminal for a live picture: it is drawn once.

use crate::display::{Room, Scene, draw, scene_of};
use crate::manager::Manager;
use crate::picture::{Estimate, PERIOD};
use crate::reply::{CommandError, Reply};
use serde_json::json;

/// Looks at the fleet until the guest's memory is there, at most: a server that does not answer
/// has it left out.
const MAX_LOOKS: usize = 10;

/// The width of the picture.
const COLUMNS: usize = 80;

impl Manager {
    /// A guest's memory and its migration, as they are now.
    pub(super) async fn watch_command(&self, name: &str) -> Result<Reply, CommandError> {
        self.read(|state| state.fleet.vm(name).map(drop))?;
        let scene = self.scene(name).await;
        let lines = draw(&scene, Room { columns: COLUMNS, rows: None });
        let mut text: String = lines.iter().map(|line| line.text() + "\n").collect();
        text.push_str("Drawn once: a live picture needs the terminal of a prompt.");
        let json = json!({ "vm": scene.vm, "migration": scene.migration });
        Ok(Reply::new(text, json))
    }

    async fn scene(&self, name: &str) -> Scene {
        let picture = self.open_picture();
        let _pick = picture.pick(name);
        let mut looks = 0;
        loop {
            let snapshot = picture.look(self).await;
            let scene = scene_of(name, &snapshot, &mut (None, Estimate::default()));
            looks += 1;
            let is_there = scene.vm.as_ref().is_none_or(|vm| vm.memory.is_some());
            if is_there || looks == MAX_LOOKS {
                return scene;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }
}
