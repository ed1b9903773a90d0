// How many calls to one engine are in flight at once; those beyond wait for their turn. What waits
// here costs an engine nothing: those that are sent are answered soon, and one whose time is up
// before its turn is never sent.
import grpc from '@grpc/grpc-js';

export function room(most) {
  if (!(most > 0)) throw new RangeError(`inFlightMax: got ${most}, expected > 0`);
  const waiting = new Set();
  let taken = 0;

  // Takes the next free place, first come first served; `deadline` is a Date.
  function enter(deadline) {
    if (taken < most) {
      taken += 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const place = { resolve };
      place.timer = setTimeout(() => {
        waiting.delete(place);
        reject(tooLate(most));
      }, Math.max(0, deadline.getTime() - Date.now()));
      waiting.add(place);
    });
  }

  // Gives the place to the next one.
  function leave() {
    const [next] = waiting;
    if (!next) {
      taken -= 1;
      return;
    }
    waiting.delete(next);
    clearTimeout(next.timer);
    next.resolve();
  }

  return { enter, leave };
}

function tooLate(most) {
  const details = `${most} other calls were in flight all the time; this one was not sent`;
  const code = grpc.status.DEADLINE_EXCEEDED;
  return Object.assign(new Error(`${code} DEADLINE_EXCEEDED: ${details}`), {
    code,
    details,
    metadata: new grpc.Metadata(),
  });
}
