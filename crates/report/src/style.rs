//! Colours and the style sheets. The series' colours are those of Okabe and Ito, which differ for
//! every kind of colour vision; on a dark ground they are lighter.

use lazycopy_migration::Scheme;
use std::fmt::Write;

/// Series that have a colour of their own; what comes after begins again.
pub(crate) const SERIES: usize = 8;

/// The colours of one scheme of light.
struct Palette {
    ground: &'static str,
    ink: &'static str,
    faint: &'static str,
    grid: &'static str,
    series: [&'static str; SERIES],
}

const LIGHT: Palette = Palette {
    ground: "#ffffff",
    ink: "#1b1f24",
    faint: "#57606a",
    grid: "#d8dee4",
    series: [
        "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#d98f00", "#56b4e9", "#6e7781", "#c9bc1a",
    ],
};

const DARK: Palette = Palette {
    ground: "#14181d",
    ink: "#e6edf3",
    faint: "#9aa4af",
    grid: "#333b44",
    series: [
        "#4a9fe0", "#f0803c", "#2fc79a", "#e39ac4", "#f2b632", "#a6dcf5", "#aab4be", "#f0e442",
    ],
};

/// The series of a scheme, the same in every report.
pub(crate) fn series_of(scheme: Scheme) -> usize {
    match scheme {
        Scheme::PostCopy => 0,
        Scheme::LazyCopy => 1,
        Scheme::AdaptiveLazyCopy => 2,
        Scheme::HybridLazyCopy => 3,
        Scheme::PreCopy => 4,
        Scheme::HybridPostCopy => 5,
        Scheme::StopAndCopy => 6,
    }
}

/// The style sheet of a figure that is a file of its own: for a light ground, as in print.
pub(crate) fn figure_style() -> String {
    let mut style = String::new();
    figure_shapes(&mut style);
    figure_colours(&mut style, &LIGHT);
    style
}

/// The style sheet of a page.
pub(crate) fn page_style() -> String {
    let mut style = String::from(PAGE);
    figure_shapes(&mut style);
    page_colours(&mut style, &LIGHT);
    figure_colours(&mut style, &LIGHT);
    style.push_str("@media screen and (prefers-color-scheme: dark) {\n");
    page_colours(&mut style, &DARK);
    figure_colours(&mut style, &DARK);
    style.push_str("}\n");
    style
}

fn page_colours(style: &mut String, palette: &Palette) {
    let Palette { ground, ink, faint, grid, .. } = palette;
    let _ = writeln!(
        style,
        ":root {{ --ground: {ground}; --ink: {ink}; --faint: {faint}; --grid: {grid}; --link: {} }}",
        palette.series[0]
    );
}

fn figure_shapes(style: &mut String) {
    style.push_str(FIGURE);
}

fn figure_colours(style: &mut String, palette: &Palette) {
    let Palette { ground, ink, faint, grid, .. } = palette;
    let _ = writeln!(
        style,
        ".figure text {{ fill: {ink} }} .figure .tick {{ fill: {faint} }} \
         .figure .ground {{ fill: {ground} }} .figure .gridline {{ stroke: {grid} }} \
         .figure .axis, .figure .zero, .figure .moment, .figure .mean, .figure .frontier, \
         .figure .frame, .figure .boxed, .figure .hatch {{ stroke: {ink} }} \
         .figure .none {{ fill: {grid} }} .figure .nobody, .figure .panel {{ fill: none; stroke: {grid} }} .figure .corner {{ fill: {ink} }} .figure .capacity {{ stroke: {faint} }} \
         .figure .lane {{ fill: {grid} }} .figure .flow {{ fill: {faint} }} \
         .figure .dot, .figure .value, .figure .name {{ stroke: {ground} }}"
    );
    for (number, colour) in palette.series.iter().enumerate() {
        let _ = writeln!(
            style,
            ".figure .fill.s{number}, .figure .dot.s{number} {{ fill: {colour} }} \
             .figure .curve.s{number}, .figure .whisker.s{number} {{ stroke: {colour} }}"
        );
    }
}

/// What differs where the live page's playback is part of a report.
pub(crate) const REPLAY_STYLE: &str = "\
.replay { border: 1px solid var(--grid); border-radius: .5rem; padding: .75rem }
.replay figure { margin: 0 }
.replay figure svg { height: 104px; max-width: none }
.replay .transport { top: 0 }
.replay ul, .replay p { max-width: none }
@media print { .replay .transport, .replay .log, .replay .toggle { display: none } }
";

const FIGURE: &str = "\
.figure { font: 13px system-ui, -apple-system, \"Segoe UI\", Roboto, \"DejaVu Sans\", sans-serif }
.figure .tick { font-size: 12px }
.figure .title { font-size: 15px; font-weight: 600 }
.figure .gridline { stroke-width: 1; fill: none }
.figure .axis, .figure .frame { stroke-width: 1; fill: none }
.figure .zero, .figure .mean { stroke-width: 1.5; fill: none }
.figure .moment { stroke-width: 1; stroke-dasharray: 2 3; fill: none }
.figure .capacity { stroke-width: 1.5; stroke-dasharray: 6 4; fill: none }
.figure .frontier { stroke-width: 3; fill: none }
.figure .boxed { stroke-width: 1; fill-opacity: .35 }
.figure .curve { stroke-width: 2.2; fill: none; stroke-linejoin: round }
.figure .ahead { stroke-dasharray: 7 4 }
.figure .whisker { stroke-width: 2; fill: none }
.figure .band { fill-opacity: .2 }
.figure .faint { fill-opacity: .45 }
.figure .half { fill-opacity: .6 }
.figure .dot { stroke-width: .8 }
.figure .hatch { stroke-width: 1; stroke-opacity: .75; fill: none }
.figure .flow { fill-opacity: .35 }
.figure .lane { fill-opacity: .35 }
.figure .value { font-size: 12px }
.figure .small { font-size: 10px }
.figure .value, .figure .name { stroke-width: 3; stroke-linejoin: round; paint-order: stroke }
";

const PAGE: &str = "\
:root { color-scheme: light dark }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.25rem; max-width: 74rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, \"Segoe UI\", Roboto, \"DejaVu Sans\", sans-serif }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--grid); padding-bottom: .25rem }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .5rem }
p, ul { max-width: 46rem; margin: .5rem 0 }
.words li { margin: .25rem 0 }
.faint, figcaption, footer { color: var(--faint); font-size: .9rem }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: 1rem 0; padding: 0; list-style: none; max-width: none }
.facts li { border: 1px solid var(--grid); border-radius: .5rem; padding: .5rem .75rem }
.facts b { display: block; font-size: 1.3rem; line-height: 1.3; font-variant-numeric: tabular-nums }
.facts span { color: var(--faint); font-size: .85rem }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1.25rem }
figure { margin: .75rem 0; break-inside: avoid; min-width: 0 }
figure svg { display: block; width: 100%; height: auto; max-width: var(--width) }
.wide { overflow-x: auto }
.wide svg { min-width: 42rem }
.aside { display: none }
.table { overflow-x: auto; margin: .75rem 0 }
table { border-collapse: collapse; font-size: .92rem }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--grid); vertical-align: top }
th { font-weight: 600 }
.long { min-width: 11rem }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, \"DejaVu Sans Mono\", monospace }
details > summary { cursor: pointer; margin: .6rem 0 }
a { color: var(--link) }
footer { margin-top: 3rem; border-top: 1px solid var(--grid); padding-top: .5rem }
@media (max-width: 44rem) { body { padding: 1rem } h1 { font-size: 1.4rem } .aside { display: block } }
@media print { .figures { grid-template-columns: 1fr 1fr } body { max-width: none; font-size: 10pt } .wide { overflow: visible } .wide svg { min-width: 0 } h2, h3 { break-after: avoid } tr { break-inside: avoid } .aside { display: none } }
";
