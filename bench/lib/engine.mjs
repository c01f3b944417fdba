/** A unit's capabilities for the benchmarks: 3 to 5 levels, large pages, queue, interrupt remapping. */
function capabilities({ decodeCapabilities }) {
  return {
    ...decodeCapabilities(0n, 0n),
    ND: 6,
    SAGAW: 0b1110,
    MGAW: 56,
    SSLPS: 3,
    PSI: 1,
    MAMV: 18,
    QI: 1,
    IR: 1,
    EIM: 1,
    PT: 1,
    SMTS: 1,
    SSTS: 1,
    FSTS: 1,
    NEST: 1,
    SC: 1,
    NFR: 7,
    FRO: 0x40,
    IRO: 0x50,
  };
}

/** Bits of an address from 30 up, and below, as ints. */
export function hiOf(address) {
  return Math.floor(address / 2 ** 30) | 0;
}
export function loOf(address) {
  return (address % 2 ** 30) | 0;
}

/** What both engines take alike; nobody observes. */
export function engineOptions(packages, memory) {
  return {
    memory,
    capabilities: capabilities(packages["vtd-spec"]),
    hostAddressWidth: 46,
    segment: 0,
    hooks: packages.plugin.createHookTable(),
    unit: "bench",
  };
}

/** Our engine over the tables of a guest of kit.mjs, with a read request of its first device. */
export function createEngine({ packages }, setup, options = {}) {
  const { guest, devices, rootTable, scalable = false } = setup;
  const { plugin, memory, translation } = packages;
  const engine = new translation.TranslationEngine({
    ...engineOptions(packages, createGuestMemory(memory, guest)),
    reporter: { dmaFault: () => undefined },
    ...options,
  });
  engine.latchRoot(hiOf(rootTable), loOf(rootTable), scalable ? 1 : 0, false);
  engine.setEnabled(true);
  const request = new plugin.DmaRequest();
  request.sourceId = devices[0].sourceId;
  request.access = plugin.Access.READ;
  return { engine, request };
}

/**
 * The second-stage walker of our engine without the engine, for the space of the first device. It is
 * no public part of the package, so its modules are named here.
 */
export async function createWalker({ packages }, { guest, devices }) {
  const part = (name) =>
    import(new URL(`../../packages/translation/dist/${name}.js`, import.meta.url));
  const [
    { SecondStageWalker, LEGACY_SECOND_STAGE },
    { secondStageMasks },
    { AddressSpace },
    { Walk },
  ] = await Promise.all(["second-stage", "reserved-masks", "address-space", "walk"].map(part));
  const { memory, capabilities, hostAddressWidth } = engineOptions(
    packages,
    createGuestMemory(packages.memory, guest),
  );
  const walker = new SecondStageWalker({
    memory,
    cache: null,
    masks: secondStageMasks(capabilities, hostAddressWidth, false),
    reasons: LEGACY_SECOND_STAGE,
  });
  const { root, levels } = devices[0];
  const space = new AddressSpace({
    key: "bench",
    walker,
    inputWidth: 12 + 9 * levels,
    rootHi: hiOf(root),
    rootLo: loOf(root),
    levels,
  });
  const walk = new Walk();
  walk.full = true;
  walk.effects = false;
  return { walker, space, walk };
}

/** The guest's buffer as the memory of a machine. */
export function createGuestMemory({ createMemory }, { buffer }) {
  return createMemory({ regions: [{ base: 0, size: buffer.byteLength, buffer }] });
}
