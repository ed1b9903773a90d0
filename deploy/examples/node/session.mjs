// Hold one session stream: route a contact, accept its offer when the event comes, finish it.
//
// When the stream breaks, another one goes on: the cursor says after which event, and commands
// whose replies are missing are sent again with the same request ids: none is applied twice.
import { randomUUID } from 'node:crypto';
import { delayBeforeRetry, headgate } from './headgate.mjs';

const RECONNECT_PAUSE_MS = 500;
const contactId = randomUUID();

const { queues, stubsOf, learn, close } = headgate();
await queues.UpsertQueue({ queue: { queue_id: 'chat' } });

const watch = { contact_ids: [contactId], agent_ids: ['lin'], cursor: await presentCursor() };
const unanswered = new Map();
let session;
let isFinished = false;

connect();
send('upsert_agent', randomUUID(), { agent: { agent_id: 'lin', queue_ids: ['chat'] } });
send('set_presence', randomUUID(), { agent_id: 'lin', presence: 'PRESENCE_AVAILABLE' });
send('route', randomUUID(), { contact_id: contactId, queue_id: 'chat', channel: 'CHANNEL_CHAT' });

function connect() {
  session = stubsOf().gateway.Connect();
  session.on('data', onFrame);
  session.on('end', () => isFinished && close());
  session.on('error', onError);
  session.write({ watch, commands: [...unanswered.values()] });
}

function send(command, requestId, fields) {
  unanswered.set(requestId, { [command]: { request_id: requestId, ...fields } });
  session.write({ commands: [unanswered.get(requestId)] });
}

function onFrame({ replies, events, cursor }) {
  for (const { request_id: requestId, result, error } of replies) {
    console.log(`reply ${result}`, result === 'error' ? error.message : '');
    unanswered.delete(requestId);
  }
  events.forEach(onEvent);
  if (cursor) watch.cursor = cursor;
}

function onEvent({ kind, contact_id, agent_id, offer_id }) {
  console.log(`event ${kind} ${contact_id}`);
  if (contact_id !== contactId) return;
  if (kind === 'EVENT_KIND_OFFER_ISSUED') {
    send('accept_offer', `accept/${contact_id}/${offer_id}`, { offer_id, agent_id });
    send('complete_assignment', `complete/${contact_id}`, { contact_id, agent_id });
  }
  if (kind === 'EVENT_KIND_CONTACT_COMPLETED') {
    isFinished = true;
    session.end();
  }
}

function onError(error) {
  learn(error);
  const delay = delayBeforeRetry(error, RECONNECT_PAUSE_MS);
  if (delay !== null && !isFinished) {
    console.log(`${error.message}; again after event ${watch.cursor}`);
    setTimeout(connect, delay);
    return;
  }
  // Anything else, for example a cursor that is too old, would end the next session just the same.
  console.error(error.message);
  process.exitCode = 1;
  close();
}

// Where the events are now: from here on none is missed, however soon the session breaks.
function presentCursor() {
  return new Promise((resolve, reject) => {
    const stream = stubsOf().events.Subscribe({});
    stream.once('data', ({ cursor }) => resolve(cursor) ?? stream.cancel());
    stream.on('error', reject);
  });
}
