// The hatching that says what colours say.

const PATTERNS = `<svg class="unseen" aria-hidden="true" width="0" height="0"><defs>
<pattern id="hatch-forward" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="pattern-line" d="M0 0v6"/></pattern>
<pattern id="hatch-demand" width="5" height="5" patternUnits="userSpaceOnUse"><circle class="pattern-dot" cx="2.5" cy="2.5" r="1.1"/></pattern>
<pattern id="hatch-disk" width="5" height="4" patternUnits="userSpaceOnUse"><path class="pattern-line" d="M0 2h5"/></pattern>
<pattern id="hatch-round" width="4" height="5" patternUnits="userSpaceOnUse"><path class="pattern-line" d="M2 0v5"/></pattern>
<pattern id="down" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="pattern-down" width="7" height="7"/><path class="pattern-down-line" d="M0 0v7"/></pattern>
</defs></svg>`;

// To be called once for a page, before anything is drawn, with a place that stays.
export function addPatterns(place) {
  place.insertAdjacentHTML("beforeend", PATTERNS);
}
