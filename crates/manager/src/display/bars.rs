//! Bars of migrations, while a command waits for them.

use super::paint::has_colours;
use super::scene::words_of_progress;
use crate::grammar::{Command, Migrate, ServerAction};
use crate::manager::Manager;
use crate::picture::snapshot::{MigrationPhase, Snapshot};
use crate::picture::{Estimate, PERIOD};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lazycopy_protocol::control::MigrationId;
use std::collections::BTreeMap;
use std::io::stdout;

/// Steps of a bar: finer than a terminal is wide.
const STEPS: u64 = 1_000;

/// Bars at once, at most: the others of a gang are counted.
const MAX_BARS: usize = 8;

/// The name of a guest is cut to so many columns, its bar's end stays on the line.
const TEMPLATE: &str = "{prefix:12!} [{bar:20.cyan}] {wide_msg}";

/// The same without colours.
const PLAIN: &str = "{prefix:12!} [{bar:20}] {wide_msg}";

/// Which migrations a command waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// That guest's.
    Vm(String),
    /// Those of guests that leave that server.
    From(String),
    /// All.
    All,
}

impl Awaited {
    /// What a command will wait for, if it waits for migrations.
    pub(crate) fn by(command: &Command) -> Option<Awaited> {
        match command {
            Command::Migrate(Migrate { vm: Some(vm), wait: true, .. })
            | Command::Wait { vm: Some(vm) } => Some(Awaited::Vm(vm.clone())),
            Command::Wait { vm: None } | Command::Script { .. } => Some(Awaited::All),
            Command::Server(
                ServerAction::Evacuate { name, options, .. }
                | ServerAction::Drain { name, options, .. },
            ) if !options.dry_run => Some(Awaited::From(name.clone())),
            Command::Server(ServerAction::Rebalance { options }) if !options.dry_run => {
                Some(Awaited::All)
            }
            _ => None,
        }
    }

    fn includes(&self, vm: &str, source: &str) -> bool {
        match self {
            Awaited::Vm(name) => name == vm,
            Awaited::From(name) => name == source,
            Awaited::All => true,
        }
    }
}

/// A bar as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    pub vm: String,
    /// Of [`STEPS`].
    pub position: u64,
    pub words: String,
}

/// The bars of the migrations that run, and how many have none; none runs backwards.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    estimates: BTreeMap<MigrationId, Estimate>,
}

impl Bars {
    /// The bars of a new picture, by migration, and how many migrations have none.
    pub(crate) fn of(
        &mut self,
        awaited: &Awaited,
        snapshot: &Snapshot,
    ) -> (BTreeMap<MigrationId, Bar>, usize) {
        let running = snapshot.migrations.iter().filter(|migration| {
            migration.phase != MigrationPhase::Ended
                && awaited.includes(&migration.vm, &migration.source)
        });
        let (mut bars, mut more) = (BTreeMap::new(), 0);
        for migration in running {
            let estimate = self.estimates.entry(migration.id).or_default();
            estimate.take(migration.progress, migration.left_ns);
            if bars.len() == MAX_BARS {
                more += 1;
                continue;
            }
            let position = (estimate.progress() * STEPS as f64) as u64;
            let words = words_of_progress(estimate, migration);
            bars.insert(migration.id, Bar { vm: migration.vm.clone(), position, words });
        }
        (bars, more)
    }
}

/// Draws bars at the bottom of the terminal, until it is dropped.
pub(crate) struct Drawn {
    shown: MultiProgress,
    bars: BTreeMap<MigrationId, ProgressBar>,
    rest: Option<ProgressBar>,
}

impl Drawn {
    /// Draws into a terminal's bars.
    pub(crate) fn on(shown: MultiProgress) -> Self {
        Drawn { shown, bars: BTreeMap::new(), rest: None }
    }

    fn draw(&mut self, bars: &BTreeMap<MigrationId, Bar>, more: usize) {
        self.bars.retain(|id, drawn| {
            let keeps = bars.contains_key(id);
            if !keeps {
                drawn.finish_and_clear();
                self.shown.remove(drawn);
            }
            keeps
        });
        for (id, bar) in bars {
            let drawn = self.bars.entry(*id).or_insert_with(|| {
                let drawn = self.shown.add(ProgressBar::new(STEPS));
                let template = if has_colours(&stdout()) { TEMPLATE } else { PLAIN };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    drawn.set_style(style.progress_chars("━╸─"));
                }
                drawn.set_prefix(bar.vm.clone());
                drawn
            });
            drawn.set_message(bar.words.clone());
            drawn.set_position(bar.position);
        }
        match (more, &self.rest) {
            (0, None) => {}
            (0, Some(rest)) => {
                rest.finish_and_clear();
                self.rest = None;
            }
            _ => {
                let rest = self.rest.get_or_insert_with(|| {
                    let rest = self.shown.add(ProgressBar::no_length());
                    if let Ok(style) = ProgressStyle::with_template("{msg}") {
                        rest.set_style(style);
                    }
                    rest
                });
                rest.set_message(format!("and {more} more migrations"));
            }
        }
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        for bar in self.bars.values().chain(&self.rest) {
            bar.finish_and_clear();
        }
        let _ = self.shown.clear();
    }
}

/// A terminal's bars, on standard output, where what is printed goes, too.
pub(crate) fn on_stdout() -> MultiProgress {
    MultiProgress::with_draw_target(ProgressDrawTarget::stdout())
}

/// Shows the bars of what a command waits for, for ever.
pub(crate) async fn show(manager: &Manager, awaited: Awaited, mut drawn: Drawn) {
    let picture = manager.open_picture();
    let mut bars = Bars::default();
    loop {
        let snapshot = picture.look(manager).await;
        let (now, more) = bars.of(&awaited, &snapshot);
        drawn.draw(&now, more);
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::scene::tests::migration;
    use crate::grammar::{Parsed, parse_line};
    use crate::picture::snapshot::MigrationView;

    fn awaited(line: &str) -> Option<Awaited> {
        match parse_line(line) {
            Ok(Parsed::Command(command)) => Awaited::by(&command),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_that_wait_for_migrations_have_bars() {
        let vm = || Some(Awaited::Vm("v".to_owned()));
        assert_eq!(awaited("migrate v --to b --wait"), vm());
        assert_eq!(awaited("wait v"), vm());
        assert_eq!(awaited("wait"), Some(Awaited::All));
        assert_eq!(awaited("script file"), Some(Awaited::All));
        assert_eq!(awaited("server drain a"), Some(Awaited::From("a".to_owned())));
        assert_eq!(awaited("server rebalance"), Some(Awaited::All));
        for line in ["migrate v --to b", "status", "server evacuate a --dry-run"] {
            assert_eq!(awaited(line), None, "{line}");
        }
    }

    #[test]
    fn no_bar_runs_backwards_and_those_that_do_not_fit_are_counted() {
        let mut bars = Bars::default();
        let mut shown = |progress: f64, left: u64| {
            let of = |id: u64| MigrationView {
                id: MigrationId(id),
                progress,
                left_ns: Some(left * 1_000_000_000),
                ..migration()
            };
            let migrations = (1..=MAX_BARS as u64 + 2).map(of).collect();
            let (bars, more) =
                bars.of(&Awaited::All, &Snapshot { migrations, ..Snapshot::default() });
            assert_eq!((bars.len(), more), (MAX_BARS, 2));
            let first = &bars[&MigrationId(1)];
            (first.position, first.words.clone())
        };
        let half = (500, " 50 %, 6 of 20 pages, about 12 s left".to_owned());
        assert_eq!(shown(0.5, 12), half);
        assert_eq!(shown(0.4, 20), half);
        assert_eq!(shown(0.6, 9).0, 600);
    }

    #[test]
    fn migrations_of_others_have_no_bar() {
        let snapshot = Snapshot { migrations: vec![migration()], ..Snapshot::default() };
        let shown = |awaited: Awaited| Bars::default().of(&awaited, &snapshot).0.len();
        let (vm, from) = (Awaited::Vm("db".to_owned()), Awaited::From("b".to_owned()));
        assert_eq!((shown(vm), shown(from)), (0, 0));
        let (vm, from) = (Awaited::Vm("web".to_owned()), Awaited::From("a".to_owned()));
        assert_eq!((shown(vm), shown(from)), (1, 1));
    }
}
