// Hold one session stream: route a contact, accept its offer when the event comes, finish it.
import { randomUUID } from 'node:crypto';
import { headgate } from './headgate.mjs';

const { queues, stubs, close } = headgate();
await queues.UpsertQueue({ queue: { queue_id: 'chat' } });

const session = stubs.gateway.Connect();
const send = (...commands) => session.write({ commands });
const withId = (fields) => ({ request_id: randomUUID(), ...fields });

session.on('data', ({ replies, events }) => {
  for (const { result, ...reply } of replies) {
    console.log(`reply ${result}`, result === 'error' ? reply.error.message : '');
  }
  for (const event of events) {
    console.log(`event ${event.kind} ${event.contact_id}`);
    if (event.kind === 'EVENT_KIND_OFFER_ISSUED') {
      const { offer_id, agent_id, contact_id } = event;
      send(
        { accept_offer: withId({ offer_id, agent_id }) },
        { complete_assignment: withId({ contact_id, agent_id }) },
      );
    }
    if (event.kind === 'EVENT_KIND_CONTACT_COMPLETED') session.end();
  }
});
session.on('end', close);
session.on('error', (error) => {
  console.error(error.message);
  process.exitCode = 1;
  close();
});

send(
  { upsert_agent: withId({ agent: { agent_id: 'lin', queue_ids: ['chat'] } }) },
  { set_presence: withId({ agent_id: 'lin', presence: 'PRESENCE_AVAILABLE' }) },
  { route: withId({ contact_id: randomUUID(), queue_id: 'chat', channel: 'CHANNEL_CHAT' }) },
);
