// Events in little space, as a report holds them. Pure.

// `shapes`: [[what is the same in all, names of the numbers], ..]; `numbers`: for one event after another
// its shape, then its numbers; instants as the time since the event before.
export function unpack({ shapes, numbers }) {
  const events = [];
  let at_ns = 0;
  for (let next = 0; next < numbers.length;) {
    const [fixed, names] = shapes[numbers[next]];
    const event = { ...fixed };
    names.forEach((name, index) => { event[name] = numbers[next + 1 + index]; });
    at_ns += event.at_ns;
    event.at_ns = at_ns;
    events.push(event);
    next += 1 + names.length;
  }
  return events;
}
