use super::*;

fn command(line: &str) -> Command {
    match parse_line(line) {
        Ok(Parsed::Command(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &str) -> String {
    parse_line(line).expect_err(line).to_string()
}

#[test]
fn blank_lines_and_comments_are_nothing() {
    for line in ["", "   ", "# server start a", "\t# x"] {
        assert_eq!(parse_line(line), Ok(Parsed::Nothing), "{line:?}");
    }
}

#[test]
fn a_comment_may_follow_a_command() {
    assert_eq!(command("status # all of it"), Command::Status);
}

#[test]
fn a_migration_has_a_guest_a_destination_and_options() {
    let Command::Migrate(migrate) =
        command("migrate v1 --to b --scheme post-copy --set link.latency=1ms --wait")
    else {
        panic!("no migration")
    };
    assert_eq!(migrate.vm.as_deref(), Some("v1"));
    assert_eq!(migrate.to.as_deref(), Some("b"));
    assert_eq!(migrate.scheme, Some(Scheme::PostCopy));
    assert_eq!(migrate.set[0].assignment(), "link.latency=1ms");
    assert!(migrate.wait && migrate.action.is_none());
}

#[test]
fn a_migration_is_taken_back_by_the_name_of_its_guest() {
    let Command::Migrate(migrate) = command("migrate cancel v1") else { panic!("no migration") };
    assert_eq!(migrate.action, Some(MigrateAction::Cancel { vm: "v1".to_owned() }));
}

#[test]
fn a_migration_without_destination_is_refused() {
    assert!(refusal("migrate v1").contains("--to"), "{}", refusal("migrate v1"));
}

#[test]
fn an_unknown_scheme_is_refused_with_the_names_of_all() {
    let text = refusal("migrate v1 --to b --scheme pre-copied");
    for scheme in Scheme::ALL {
        assert!(text.contains(scheme.name()), "{text}");
    }
}

#[test]
fn quoted_words_hold_blanks() {
    assert_eq!(
        command("script 'a file.txt'"),
        Command::Script { file: PathBuf::from("a file.txt") }
    );
    assert_eq!(parse_line("script 'a"), Err(GrammarError::Unbalanced));
}

#[test]
fn help_is_an_answer_and_no_error() {
    for line in ["help", "help migrate", "server --help", "vm help create"] {
        assert!(matches!(parse_line(line), Ok(Parsed::Help(_))), "{line}: {:?}", parse_line(line));
    }
}

#[test]
fn an_unknown_word_is_named() {
    assert!(refusal("migrat v1").contains("'migrat'"));
    assert!(refusal("server begin a").contains("'begin'"));
}

#[test]
fn a_group_without_its_verb_says_which_there_are() {
    let text = refusal("server");
    assert!(text.contains("start") && text.contains("stop"), "{text}");
}

#[test]
fn names_that_could_be_mistaken_are_refused() {
    for name in ["", "-x", "a b", "a/b", "cancel", "help", &"x".repeat(65)] {
        assert!(name.parse::<Name>().is_err(), "{name}");
    }
    assert_eq!("vm-1.b_2".parse::<Name>().unwrap().as_str(), "vm-1.b_2");
}

#[test]
fn a_policy_takes_several_settings() {
    let Command::Policy(PolicyAction::Set { settings }) =
        command("policy set scheme=lazy-copy max_lead=none")
    else {
        panic!("no policy")
    };
    let set: Vec<String> = settings.iter().map(KeyValue::assignment).collect();
    assert_eq!(set, ["scheme=lazy-copy", "max_lead=none"]);
    assert!(refusal("policy set lazy-copy").contains("KEY=VALUE"));
    assert!(parse_line("policy set").is_err());
}

#[test]
fn an_evacuation_has_servers_a_number_at_once_and_settings() {
    let line = "server evacuate a --to b,c --parallel 8 --scheme post-copy --set push_order=mru";
    let Command::Server(ServerAction::Evacuate { name, to, options }) = command(line) else {
        panic!("no evacuation")
    };
    assert_eq!((&*name, to), ("a", vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!((options.parallel, options.scheme), (8, Some(Scheme::PostCopy)));
    assert_eq!(options.set[0].assignment(), "push_order=mru");
    let Command::Server(ServerAction::Rebalance { options }) = command("server rebalance") else {
        panic!("no rebalancing")
    };
    assert_eq!((options.parallel, options.dry_run), (DEFAULT_PARALLEL, false));
    assert!(refusal("server drain a --parallel 0").contains("1..=256"));
    assert_eq!(command("server uncordon a"), command("server undrain a"));
}

#[test]
fn the_help_of_what_moves_many_guests_has_an_example() {
    for verb in ["evacuate", "drain", "undrain", "rebalance"] {
        let Ok(Parsed::Help(text)) = parse_line(&format!("help server {verb}")) else {
            panic!("no help")
        };
        let example = text.lines().find_map(|line| line.strip_prefix("Example: "));
        command(example.unwrap_or_else(|| panic!("{text}")));
    }
}

#[test]
fn time_is_frozen_stepped_slowed_down_and_let_go() {
    let time = |line: &str| match command(line) {
        Command::Time { action } => action,
        other => panic!("{other:?}"),
    };
    assert_eq!(time("time"), None);
    assert_eq!(time("time freeze"), Some(TimeAction::Freeze));
    assert_eq!(time("time go"), Some(TimeAction::Go));
    assert_eq!(time("time slow 10"), Some(TimeAction::Slow { factor: 10 }));
    let span = Span(lazycopy_units::Duration::from_millis(1_500));
    assert_eq!(time("time step 1s500ms"), Some(TimeAction::Step { span }));
    for (line, said) in [
        ("time slow 0", "1..=1000"),
        ("time slow 1001", "1..=1000"),
        ("time step 5", "100ms or 2s"),
        ("time step 0s", "changes nothing"),
        ("time step 11years", "ten years"),
    ] {
        assert!(refusal(line).contains(said), "{}", refusal(line));
    }
    assert_eq!(continuations(&["time"])[..4], ["freeze", "go", "step", "slow"]);
}

#[test]
fn an_endless_line_is_refused() {
    let line = "x".repeat(MAX_LINE_BYTES + 1);
    assert_eq!(parse_line(&line), Err(GrammarError::TooLong { bytes: line.len() }));
}

#[test]
fn what_may_follow_is_known_to_completion() {
    assert!(continuations(&[]).contains(&"migrate".to_owned()));
    assert!(continuations(&["server"]).contains(&"start".to_owned()));
    assert!(continuations(&["vm", "create"]).contains(&"--scenario".to_owned()));
    assert!(continuations(&["migrate", "v1"]).contains(&"--to".to_owned()));
}
