// Which engine to call for which cell: engines that share cells name each other, and one that does
// not answer is left for another one that is known.
const HOPS_MAX = 3;

export function engines(home, stubsAt, newRoom) {
  const addresses = [home];
  const made = new Map();
  const rooms = new Map([[home, newRoom()]]);
  const owners = new Map();
  const nameOf = (cell) => cell || 'default';
  const addressOf = (cell) => owners.get(nameOf(cell))?.address ?? home;

  function stubsOf(cell) {
    const address = addressOf(cell);
    if (!made.has(address)) made.set(address, stubsAt(address));
    return made.get(address);
  }

  // Room for calls to the engine that has a cell.
  function roomOf(cell) {
    const address = addressOf(cell);
    if (!rooms.has(address)) rooms.set(address, newRoom());
    return rooms.get(address);
  }

  // Notes who has a cell; whether that is news. Whoever knows of a later owner is not led back by
  // an engine that has not noticed.
  function learn(owner) {
    if (!owner || owner.address === addressOf(owner.cell)) return false;
    if ((owners.get(owner.cell)?.epoch ?? 0) >= owner.epoch) return false;
    owners.set(owner.cell, owner);
    if (!addresses.includes(owner.address)) addresses.push(owner.address);
    return true;
  }

  // Asks another engine about a cell next. Anybody's word counts more than this guess.
  function turnFrom(address, cell) {
    if (addressOf(cell) !== address) return;
    const next = addresses[(addresses.indexOf(address) + 1) % addresses.length];
    owners.set(nameOf(cell), { address: next, epoch: 0 });
  }

  const close = () => made.forEach((stubs) => Object.values(stubs).forEach((stub) => stub.close()));
  return { addressOf, stubsOf, roomOf, learn, turnFrom, close, HOPS_MAX };
}
