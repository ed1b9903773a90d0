// A thin client: stubs from the .proto files, with a request id on every write, retries that repeat
// it, and words checked before they are sent.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { accessFromEnvironment, credentialsFor } from './access.mjs';

const PROTO = fileURLToPath(new URL('../../../proto', import.meta.url));
const SUBJECTS = ['routing', 'offer', 'agent', 'queue', 'event', 'gateway', 'telemetry'];
const FILES = SUBJECTS.map((subject) => `headgate/v1/${subject}_service.proto`);
const PACKAGE = 'headgate.v1';
const DEADLINE_MS = 10_000;
// Lists and snapshots may be larger than the usual 4 MiB. Left to itself, a channel waits a second
// after a refused connection, then up to two minutes, while an engine starts again in two seconds.
const OPTIONS = {
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
};

// As much of google/rpc/status.proto and google/rpc/error_details.proto as is read here.
const field = (type, id, rule) => ({ type, id, rule });
const rpc = protoLoader.fromJSON(
  {
    nested: {
      Status: { fields: { details: field('Detail', 3, 'repeated') } },
      Detail: { fields: { type_url: field('string', 1), value: field('bytes', 2) } },
      RetryInfo: { fields: { retry_delay: field('Duration', 1) } },
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

export function headgate(
  address = process.env.HEADGATE_ADDRESS ?? '127.0.0.1:7443',
  access = accessFromEnvironment(),
) {
  const { credentials, options } = credentialsFor(address, access);
  const stubOf = (Service) => new Service(address, credentials, { ...OPTIONS, ...options });
  const stubs = {
    routing: stubOf(v1.RoutingService),
    offers: stubOf(v1.OfferService),
    choices: stubOf(v1.ChoiceService),
    agents: stubOf(v1.AgentService),
    queues: stubOf(v1.QueueService),
    events: stubOf(v1.EventService),
    gateway: stubOf(v1.GatewayService),
    telemetry: stubOf(v1.TelemetryService),
  };
  const clients = Object.fromEntries(
    Object.entries(stubs).map(([name, stub]) => [name, withPromises(stub)]),
  );
  return { ...clients, stubs, close: () => Object.values(stubs).forEach((stub) => stub.close()) };
}

function withPromises(stub) {
  return new Proxy(stub, { get: (_, method) => (request) => call(stub, method, request) });
}

async function call(stub, method, request) {
  const body = withId(request);
  if (method === 'RouteBatch') body.requests = request.requests?.map(withId);
  const deadline = new Date(Date.now() + DEADLINE_MS);
  for (let wait = 50; ; wait = Math.min(2 * wait, 2_000)) {
    let delay;
    try {
      return await once(stub, method, body, deadline);
    } catch (error) {
      delay = delayBeforeRetry(error, wait);
      if (delay === null || Date.now() + delay >= deadline.getTime()) throw error;
    }
    await pause(delay);
  }
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
  const [status] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = status ? rpc.Status.deserialize(status).details : [];
  const info = details.find(({ type_url }) => type_url.endsWith('/google.rpc.RetryInfo'));
  if (!info) return 0;
  const { seconds, nanos } = rpc.RetryInfo.deserialize(info.value).retry_delay;
  return seconds * 1_000 + nanos / 1_000_000;
}

function once(stub, method, body, deadline) {
  return new Promise((resolve, reject) => {
    stub[method](body, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
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
