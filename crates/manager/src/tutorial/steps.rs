//! The steps of the tutorial. Each figure that it mentions is from a reply.

use super::lesson::{Leave, Lesson};
use crate::arguments::Options;
use crate::display::{paint, watch};
use crate::render::{percent, time};
use crate::reply::CommandError;
use crate::web::{DEFAULT_ADDRESS, WebAddress};
use serde_json::Value;
use std::path::Path;

/// A seed on which post-copy meets more page faults than on most: there is more to see.
const SEED: u64 = 8;

/// Every step, to the end or until the user leaves.
pub(super) async fn all(lesson: &mut Lesson, options: &Options) -> Result<(), Leave> {
    welcome(lesson, options).await?;
    servers(lesson).await?;
    memory(lesson).await?;
    let post_copy = post_copy(lesson).await?;
    let lazy_copy = lazy_copy(lesson, &post_copy).await?;
    other_schemes(lesson).await?;
    files(lesson, &lazy_copy).await?;
    looking(lesson).await?;
    onwards(lesson, options).await
}

async fn welcome(lesson: &Lesson, options: &Options) -> Result<(), Leave> {
    lesson.say(
        "Welcome to the laboratory for live VM migration. In five minutes you will have two \
         servers, move guests between them by several schemes, and know where the results are. \
         Every command is really carried out, and every figure is from this run.",
    );
    lesson.say(&format!(
        "The results go to {}. You can leave at any time with Ctrl-C: the servers end with the \
         tutorial.",
        options.out.display()
    ));
    lesson.pause().await
}

async fn servers(lesson: &mut Lesson) -> Result<(), Leave> {
    lesson.step(1, "servers");
    lesson.say(
        "A server is a process that hosts guests, with so many frames of memory for them; a frame \
         holds a page of 4,096 bytes. A migration needs two servers.",
    );
    let a = lesson.run("server start a --frames 256").await?;
    let b = lesson.run("server start b --frames 256").await?;
    lesson.run("server list").await?;
    lesson.say(&format!(
        "Two processes run now, {} and {}. They talk to each other over sockets of this machine, \
         and the manager tells them what to do.",
        a["pid"], b["pid"]
    ));
    lesson.pause().await
}

async fn memory(lesson: &mut Lesson) -> Result<(), Leave> {
    lesson.step(2, "a guest and its memory");
    lesson.say(
        "A guest is a program that touches one page after the other. This one is the paper's: it \
         reads pages from a queue of numbers drawn at random.",
    );
    let created = lesson.run("vm create first --on a").await?;
    lesson.run("vm start first").await?;
    lesson.run("vm suspend first").await?;
    let shown = lesson.run("vm show first").await?;
    let snapshot = &shown["vm"]["snapshot"];
    lesson.say(&format!(
        "It has {} pages and only {} frames, so memory is full: a page that is touched and not \
         there is a page fault, and the page that was used longest ago makes way (LRU). The memory \
         above begins with that page. Of the {} accesses so far {} missed: a miss ratio of {}.",
        created["pages"],
        created["frames"],
        snapshot["registers"]["accesses"],
        snapshot["registers"]["misses"],
        percent(snapshot["miss_ratio"].as_f64()),
    ));
    lesson.run("vm delete first --force").await?;
    lesson.pause().await
}

async fn post_copy(lesson: &mut Lesson) -> Result<Value, Leave> {
    lesson.step(3, "post-copy");
    lesson.say(
        "Post-copy suspends the guest, sends its registers and the list of its pages, and resumes \
         it at the destination at once. The pages follow in the background; one that is touched \
         before it is there is asked for, and the guest waits. The link of this scenario is slow, \
         and time runs faster than on your clock, so that there is something to see.",
    );
    let result = migrate(lesson, "slow", "post-copy").await?;
    lesson.say(&format!(
        "Post-copy: the guest was down for {}, but then met {} of the migration ({} ended by the \
         source, {} by the disk) and was stalled for {}. Its {} accesses took {}; without the \
         migration they take {}.",
        nanos(&result, "downtime_ns"),
        faults(&result),
        result["faults_remote"],
        result["faults_disk"],
        nanos(&result, "stall_time_ns"),
        result["scenario"]["measured_accesses"],
        nanos(&result, "measured_time_ns"),
        nanos(&result, "reference_measured_time_ns"),
    ));
    lesson.pause().await?;
    Ok(result)
}

async fn lazy_copy(lesson: &mut Lesson, post_copy: &Value) -> Result<Value, Leave> {
    lesson.step(4, "lazy-copy, the paper's scheme");
    lesson.say(
        "Lazy-copy does the same, and lets the guest go on at the source, too, a little ahead: the \
         forward context. What it touches there, the guest will touch here soon, so it is sent \
         first. The next guest is the same one: the same seed, the same program.",
    );
    let result = migrate(lesson, "quick", "lazy-copy").await?;
    lesson.say(&format!(
        "Lazy-copy: {} instead of {}, stalled for {} instead of {}, down for {} instead of {}; {} \
         pages were sent because the forward context touched them.",
        faults(&result),
        post_copy["faults"],
        nanos(&result, "stall_time_ns"),
        nanos(post_copy, "stall_time_ns"),
        nanos(&result, "downtime_ns"),
        nanos(post_copy, "downtime_ns"),
        result["pages_forward"],
    ));
    let count = |result: &Value| result["faults"].as_u64();
    lesson.say(match count(&result) < count(post_copy) {
        true => {
            "That is the paper's claim, on one seed, and one on which post-copy meets more page \
             faults than on most. What many seeds say: manager demo."
        }
        false => "On this seed that is no gain. What many seeds say: manager demo.",
    });
    lesson.pause().await?;
    Ok(result)
}

async fn other_schemes(lesson: &mut Lesson) -> Result<(), Leave> {
    lesson.step(5, "two older schemes");
    let stopped = migrate(lesson, "still", "stop-and-copy").await?;
    lesson.say(&format!(
        "Stop-and-copy sends everything while the guest runs nowhere: {}, but a downtime \
         of {}.",
        faults(&stopped),
        nanos(&stopped, "downtime_ns"),
    ));
    let rounds = migrate(lesson, "rounds", "pre-copy").await?;
    lesson.say(&format!(
        "Pre-copy sends the pages while the guest still runs at the source: {} of preparation, {} \
         pages before the hand-over ({} of them again, since they had changed), and then a \
         downtime of {}.",
        nanos(&rounds, "preparation_time_ns"),
        rounds["pages_round"],
        rounds["pages_resent"],
        nanos(&rounds, "downtime_ns"),
    ));
    lesson.run("results").await?;
    lesson.pause().await
}

async fn files(lesson: &Lesson, result: &Value) -> Result<(), Leave> {
    lesson.step(6, "the result files");
    let directory = result["directory"].as_str().unwrap_or_default();
    let mut names: Vec<String> = std::fs::read_dir(Path::new(directory))
        .map(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names.map(|name| name.to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    names.sort();
    lesson.say(&format!("Each migration has a directory. That of the lazy-copy is {directory}:"));
    lesson.say(&format!("{}.", names.join(", ")));
    lesson.say(
        "result.json has every figure of it, times in nanoseconds; events.jsonl tells what \
         happened, one event a line; the figures in text show both servers before and after. A \
         page with pictures of all that: manager report DIRECTORY",
    );
    lesson.pause().await
}

async fn looking(lesson: &mut Lesson) -> Result<(), Leave> {
    lesson.step(7, "looking while it happens");
    lesson.say(
        "watch shows a guest's memory in the terminal while it moves: each page with the letter of \
         what brought it, B for background, F for forward, D for demand, K for disk.",
    );
    if lesson.manager.page_url().is_none() {
        let any: WebAddress = DEFAULT_ADDRESS.parse().map_err(|error| failed(&error))?;
        lesson.manager.serve_page(any, false).await.map_err(|error| failed(&error))?;
    }
    let page = lesson.manager.page_url().unwrap_or_default();
    lesson.say(&format!(
        "The same in a browser, as long as this tutorial lasts: {page} (with the prompt: manager \
         --web)."
    ));
    // Slow enough for eyes, where there are any.
    let slowly = if lesson.waits { " --set time_scale=2 --set measured_accesses=20" } else { "" };
    lesson.run(&format!("vm create seen --on a --set seed={SEED}{slowly}")).await?;
    if lesson.waits {
        lesson.say("The next command moves a guest and shows it; q ends the picture.");
        lesson.pause().await?;
        lesson.run("migrate seen --to b --scheme lazy-copy").await?;
        let colours = paint::has_colours(&std::io::stdout());
        watch(&lesson.manager, "seen", colours).await.map_err(|error| failed(&error))?;
    } else {
        lesson.run("migrate seen --to b --scheme lazy-copy").await?;
        lesson.run("watch seen").await?;
    }
    lesson.run("wait seen").await.map(drop)
}

async fn onwards(lesson: &mut Lesson, options: &Options) -> Result<(), Leave> {
    lesson.step(8, "where to go next");
    lesson
        .say("manager: the prompt; help lists its commands, help COMMAND has an example of each.");
    lesson.say("manager demo: every scheme on equal guests over ten seeds, with what they say.");
    lesson.say("manager simulate paper --seeds 100: the same in virtual time, in a moment.");
    lesson.say("manager sweep FILE: whole fields of parameters, on all cores.");
    lesson.say(&format!(
        "The results of this tutorial stay in {}; delete them when you like.",
        options.out.display()
    ));
    lesson.run("quit --force").await.map(drop)
}

/// Creates a guest of the paper's scenario and moves it; the result.
async fn migrate(lesson: &mut Lesson, vm: &str, scheme: &str) -> Result<Value, Leave> {
    lesson.run(&format!("vm create {vm} --on a --set seed={SEED}")).await?;
    lesson.run(&format!("migrate {vm} --to b --scheme {scheme} --wait")).await
}

/// The page faults of a result, in words.
fn faults(result: &Value) -> String {
    match result["faults"].as_u64() {
        Some(1) => "1 page fault".to_owned(),
        faults => format!("{} page faults", faults.unwrap_or_default()),
    }
}

/// A time of a result, in words.
fn nanos(result: &Value, name: &str) -> String {
    time(result[name].as_u64())
}

fn failed(error: &dyn std::error::Error) -> Leave {
    Leave::Failed(CommandError::Scenario(error.to_string()))
}
