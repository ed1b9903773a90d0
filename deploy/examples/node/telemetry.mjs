// Tell of a queue that another system routes, a second at a time, and see what is sensed of it.
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { headgate } from './headgate.mjs';

const SECONDS = 6;
const { queues, telemetry, stubs, close } = headgate();

await queues.UpsertQueue({ queue: { queue_id: 'hotline' } });
const stream = stubs.telemetry.Ingest();
stream.on('data', ({ sequence, accepted, late, refused, skew_ms }) => {
  const told = `accepted ${accepted}, late ${late}, refused ${refused}`;
  console.log(`second ${sequence}: ${told}, clock ${skew_ms} ms`);
});
for (let sequence = 0; sequence < SECONDS; sequence += 1) {
  // A message for each second as it ends; the first names the queues for all of them.
  const second = Math.floor(Date.now() / 1_000);
  await pause(1_000 * (second + 1) - Date.now());
  const columns = { second, offered: [sequence % 3], answered: [1], waiting: [4], handling: [9] };
  if (sequence === 0) columns.queue_ids = ['hotline'];
  stream.write({ source: 'pbx-2', sequence, readings: [columns] });
}
stream.end();
await once(stream, 'end');

// A second counts once readings of it can no longer come.
await pause(3_000);
const reply = await telemetry.GetOutlook({ queue_ids: ['hotline'], with_windows: true });
const minute = reply.outlooks[0].windows.find(({ window }) => window === '1m');
console.log(`hotline: ${minute.offered} contacts in the ${minute.covered_s} s that were told of`);
close();
