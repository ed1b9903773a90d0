// A thin client: stubs from the .proto files, with a request id on every write and retries that repeat it.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const PROTO = fileURLToPath(new URL('../../../proto', import.meta.url));
const FILES = ['routing', 'offer', 'agent', 'queue', 'event', 'gateway'].map(
  (subject) => `headgate/v1/${subject}_service.proto`,
);
const RETRIED = new Set([grpc.status.UNAVAILABLE, grpc.status.RESOURCE_EXHAUSTED]);
const DEADLINE_MS = 10_000;

// 64-bit numbers as strings would surprise; milliseconds fit a double for 285,000 years.
const definition = protoLoader.loadSync(FILES, {
  includeDirs: [PROTO],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { v1 } = grpc.loadPackageDefinition(definition).headgate;

export function headgate(address = process.env.HEADGATE_ADDRESS ?? '127.0.0.1:7443') {
  const credentials = grpc.credentials.createInsecure();
  const stubs = {
    routing: new v1.RoutingService(address, credentials),
    offers: new v1.OfferService(address, credentials),
    agents: new v1.AgentService(address, credentials),
    queues: new v1.QueueService(address, credentials),
    events: new v1.EventService(address, credentials),
    gateway: new v1.GatewayService(address, credentials),
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
  const body = { request_id: randomUUID(), ...request };
  const deadline = new Date(Date.now() + DEADLINE_MS);
  for (let wait = 50; ; wait = Math.min(2 * wait, 2_000)) {
    try {
      return await once(stub, method, body, deadline);
    } catch (error) {
      if (!RETRIED.has(error.code) || Date.now() + wait >= deadline.getTime()) throw error;
    }
    await pause(wait * (0.5 + Math.random() / 2));
  }
}

function once(stub, method, body, deadline) {
  return new Promise((resolve, reject) => {
    stub[method](body, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}
