// A thin client: stubs from the .proto files, with a request id on every write, retries that repeat
// it, here or at the engine that has the cell, and words checked before they are sent.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { accessFromEnvironment, credentialsFor } from './access.mjs';
import { engines } from './engines.mjs';
import { room } from './room.mjs';

const PROTO = fileURLToPath(new URL('../../../proto', import.meta.url));
const SUBJECTS = ['routing', 'offer', 'agent', 'queue', 'event', 'gateway', 'telemetry'];
const FILES = SUBJECTS.map((subject) => `headgate/v1/${subject}_service.proto`);
const PACKAGE = 'headgate.v1';
const DEADLINE_MS = 10_000;
// Half as many again as keep an engine busy, over a line of some milliseconds.
const IN_FLIGHT_MAX = 48;
// Before another engine is asked, at the most: a cell has a new owner in a second or two.
const TURNING_PAUSE_MS = 250;
// Lists and snapshots may be larger than the usual 4 MiB. Left to itself, a channel waits a second
// after a refused connection, then up to two minutes, while an engine starts again in two seconds.
const OPTIONS = {
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
};

// As much of google/rpc/status.proto, google/rpc/error_details.proto and our own error.proto as is
// read here.
const field = (type, id, rule) => ({ type, id, rule });
const rpc = protoLoader.fromJSON(
  {
    nested: {
      Status: { fields: { details: field('Detail', 3, 'repeated') } },
      Detail: { fields: { type_url: field('string', 1), value: field('bytes', 2) } },
      RetryInfo: { fields: { retry_delay: field('Duration', 1) } },
      NotOwner: {
        fields: {
          cell: field('string', 1),
          engine: field('string', 2),
          address: field('string', 3),
          epoch: field('int64', 4),
        },
      },
      Duration: { fields: { seconds: field('int64', 1), nanos: field('int32', 2) } },
    },
  },
  { longs: Number, defaults: true },
);

// 64-bit numbers as strings would surprise; milliseconds fit a double for 285,000 years.
const definition = protoLoader.loadSync(FILES, {
  includeDirs: [PROTO],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const methods = Object.values(definition)
  .filter((item) => !item.format)
  .flatMap((service) => Object.values(service));
for (const method of methods) checkWordsOf(method);
const { v1 } = grpc.loadPackageDefinition(definition).headgate;
const SERVICES = {
  routing: v1.RoutingService,
  offers: v1.OfferService,
  choices: v1.ChoiceService,
  agents: v1.AgentService,
  queues: v1.QueueService,
  events: v1.EventService,
  gateway: v1.GatewayService,
  telemetry: v1.TelemetryService,
};

export function headgate(
  address = process.env.HEADGATE_ADDRESS ?? '127.0.0.1:7443',
  access = accessFromEnvironment(),
  { inFlightMax = IN_FLIGHT_MAX } = {},
) {
  const known = engines(address, (at) => stubsAt(at, access), () => room(inFlightMax));
  const clients = Object.fromEntries(
    Object.keys(SERVICES).map((name) => [name, withPromises(known, name)]),
  );
  // For streams: the stubs of the engine that has a cell, and what to do with the error of a stream
  // before another one is opened.
  const stubsOf = (cell) => known.stubsOf(cell);
  const learn = (error, cell) => turn(known, error, known.addressOf(cell), cell);
  return { ...clients, stubs: known.stubsOf(), stubsOf, learn, close: known.close };
}

function stubsAt(address, access) {
  const { credentials, options } = credentialsFor(address, access);
  return Object.fromEntries(
    Object.entries(SERVICES).map(([name, Service]) => [
      name,
      new Service(address, credentials, { ...OPTIONS, ...options }),
    ]),
  );
}

function withPromises(known, name) {
  return new Proxy({}, { get: (_, method) => (request) => call(known, name, method, request) });
}

async function call(known, name, method, request) {
  const body = withId(request);
  if (method === 'RouteBatch') body.requests = request.requests?.map(withId);
  const deadline = new Date(Date.now() + DEADLINE_MS);
  for (let wait = 50, hops = 0; ; ) {
    const address = known.addressOf(body.cell);
    let delay;
    try {
      return await once(known, name, method, body, deadline);
    } catch (error) {
      if (turn(known, error, address, body.cell) && hops < known.HOPS_MAX) {
        hops += 1;
        continue;
      }
      const isTurned = known.addressOf(body.cell) !== address;
      delay = delayBeforeRetry(error, isTurned ? Math.min(wait, TURNING_PAUSE_MS) : wait);
      if (delay === null || Date.now() + delay >= deadline.getTime()) throw error;
    }
    await pause(delay);
    hops = 0;
    wait = Math.min(2 * wait, 2_000);
  }
}

// Notes which engine to call next for a cell; whether it was named, so that nothing is to wait for.
function turn(known, error, address, cell) {
  if (known.learn(detailOf(error, 'NotOwner'))) return true;
  if (error.code === grpc.status.UNAVAILABLE) known.turnFrom(address, cell);
  return false;
}

function withId(request) {
  return { ...request, request_id: request?.request_id || randomUUID() };
}

// Milliseconds until a refused call may be sent again, about `wait` where none are named; null
// where that would change nothing: without a delay, a limit is reached or a message is too large.
export function delayBeforeRetry(error, wait) {
  const named = namedDelay(error);
  if (error.code === grpc.status.UNAVAILABLE) return named || wait * (0.5 + Math.random() / 2);
  return error.code === grpc.status.RESOURCE_EXHAUSTED && named ? named : null;
}

function namedDelay(error) {
  const info = detailOf(error, 'RetryInfo');
  return info ? info.retry_delay.seconds * 1_000 + info.retry_delay.nanos / 1_000_000 : 0;
}

function detailOf(error, name) {
  const [status] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = status ? rpc.Status.deserialize(status).details : [];
  const detail = details.find(({ type_url }) => type_url.endsWith(`.${name}`));
  return detail && rpc[name].deserialize(detail.value);
}

// One try, once there is room among the calls in flight to that engine.
function once(known, name, method, body, deadline) {
  return known.during(body.cell, async ({ stubs, room: { enter, leave } }) => {
    const stub = stubs[name];
    await enter(deadline);
    return new Promise((resolve, reject) => {
      stub[method](body, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
    }).finally(leave);
  });
}

// The loader drops a word that its enum does not have, as if the field had never been set.
function checkWordsOf(method) {
  const serialize = method.requestSerialize;
  method.requestSerialize = (request) => {
    checkWords(method.requestType.type, request, '');
    return serialize(request);
  };
}

function checkWords(type, message, path) {
  for (const { name, typeName } of type.field) {
    const inner = definition[`${PACKAGE}.${typeName}`]?.type;
    const value = message?.[name];
    if (!inner || value === undefined || value === null) continue;
    const check = inner.value ? checkWord : checkWords;
    const place = path ? `${path}.${name}` : name;
    if (!Array.isArray(value)) check(inner, value, place);
    else value.forEach((item, index) => check(inner, item, `${place}[${index}]`));
  }
}

function checkWord(type, word, path) {
  const words = type.value.map(({ name }) => name);
  if (typeof word === 'string' && !words.includes(word)) {
    throw new TypeError(`${path}: got '${word}', expected one of ${words.join(', ')}`);
  }
}
