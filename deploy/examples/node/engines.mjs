// Which engine to call for which cell: engines that share cells name each other, and one that does
// not answer is left for another one that is known. Whenever a new one is named, connections to
// engines that no cell is at are given up, each once its last call is over.
const HOPS_MAX = 3;
// Engines kept in mind; of more those that were told of first are forgotten.
const ENGINES_MAX = 64;

export function engines(home, stubsAt, newRoom) {
  const addresses = [home];
  const made = new Map();
  const owners = new Map();
  const nameOf = (cell) => cell || 'default';
  const addressOf = (cell) => owners.get(nameOf(cell))?.address ?? home;

  // Connection to the engine that has a cell, room for calls, and how many there are.
  function engineOf(cell) {
    const address = addressOf(cell);
    if (!made.has(address)) {
      made.set(address, { room: newRoom(), stubs: stubsAt(address), calls: 0, isLeft: false });
    }
    return made.get(address);
  }

  const stubsOf = (cell) => engineOf(cell).stubs;

  // Makes a call to the engine that has a cell, whose connection stays until it is over.
  async function during(cell, call) {
    const engine = engineOf(cell);
    engine.calls += 1;
    try {
      return await call(engine);
    } finally {
      engine.calls -= 1;
      if (engine.isLeft && engine.calls === 0) disconnect(engine);
    }
  }

  // Forgets the connections to engines that no cell is at.
  function forgetLeft() {
    const kept = new Set([home, ...[...owners.values()].map(({ address }) => address)]);
    for (const [address, engine] of made) {
      if (kept.has(address)) continue;
      made.delete(address);
      engine.isLeft = true;
      if (engine.calls === 0) disconnect(engine);
    }
  }

  // Notes who has a cell; whether that is news. Whoever knows of a later owner is not led back by
  // an engine that has not noticed.
  function learn(owner) {
    if (!owner || owner.address === addressOf(owner.cell)) return false;
    if ((owners.get(owner.cell)?.epoch ?? 0) >= owner.epoch) return false;
    owners.set(owner.cell, owner);
    if (!addresses.includes(owner.address)) {
      addresses.push(owner.address);
      // The first one stays: it is what the caller knows.
      if (addresses.length > 1 + ENGINES_MAX) addresses.splice(1, 1);
      forgetLeft();
    }
    return true;
  }

  // Asks another engine about a cell next. Anybody's word counts more than this guess.
  function turnFrom(address, cell) {
    if (addressOf(cell) !== address) return;
    const next = addresses[(addresses.indexOf(address) + 1) % addresses.length];
    owners.set(nameOf(cell), { address: next, epoch: 0 });
  }

  const close = () => made.forEach(disconnect);
  return { addressOf, stubsOf, during, learn, turnFrom, close, HOPS_MAX };
}

function disconnect({ stubs }) {
  Object.values(stubs).forEach((stub) => stub.close());
}
