// Route one contact: define a queue and an agent, ask where a call goes, accept it, finish it.
import { headgate } from './headgate.mjs';

const { routing, offers, agents, queues, close } = headgate();

await queues.UpsertQueue({ queue: { queue_id: 'billing' } });
await agents.UpsertAgent({ agent: { agent_id: 'grace', queue_ids: ['billing'] } });
await agents.SetPresence({ agent_id: 'grace', presence: 'PRESENCE_AVAILABLE' });

const routed = await routing.Route({
  queue_id: 'billing',
  channel: 'CHANNEL_VOICE',
  attributes: { line: '43' },
});
const where = routed.agent_id ? `to ${routed.agent_id}` : `at position ${routed.position}`;
console.log(`contact ${routed.contact_id}: ${routed.state} ${where}`);

if (routed.agent_id) {
  await offers.AcceptOffer({ offer_id: routed.offer.offer_id, agent_id: routed.agent_id });
  const finished = await offers.CompleteAssignment({
    contact_id: routed.contact_id,
    agent_id: routed.agent_id,
  });
  console.log(`then ${finished.state}`);
}
close();
