import { answerOf, requestOf } from "./machine.ts";
import type { Answer, Ask } from "./machine.ts";
import { oracle } from "./oracle.ts";
import type { World } from "./oracle.ts";
import { scalableMode } from "./oracle-scalable.ts";
import type { Shadow } from "./scalable-soup.ts";
import { representable, same, show } from "./soup.ts";
import type { Soup } from "./soup.ts";

const WRITE = 2;

/**
 * The right to write may be missing in a cached answer to a read: it is handed out when D is set,
 * and D may have been set by way of another address since. Translated requests know no D.
 */
function agrees({ addressType }: Ask, answer: Answer, expected: Answer): boolean {
  if (same(answer, expected)) return true;
  if (addressType === 2 || answer.result !== 0 || expected.result !== 0) return false;
  return same(answer, { ...expected, granted: expected.granted! & ~WRITE });
}

/** A request for one of the addresses that the tables know, or for another one. */
export function randomRequest(soup: Soup): Ask {
  const { random } = soup;
  const sign = random.of([0n, 0n, 0n, 0n, 0n, 0n, 0n, 47n, 56n]);
  const pasid = random.chance(97) ? random.of([0, 1, 2, 64, 65]) : Number(random.bits(20));
  const flags = (random.chance(15) ? 8 : 0) | (random.chance(2) ? 4 : 0);
  return {
    sourceId: random.of(soup.sources),
    pasid: random.chance(60) ? -1 : pasid,
    addressType: random.chance(75) ? 0 : random.of([1, 1, 1, 2, 3]),
    access: random.of([1, 2, 3, 1, 2, 0]) | flags,
    address: sign === 0n ? soup.address() : soup.address() | (((1n << (64n - sign)) - 1n) << sign),
  };
}

/** Asks the engine, by `probe` and by `translate`; they must agree, and report as they should. */
function askEngine(soup: Soup, ask: Ask): Answer {
  const { engine, faults } = soup;
  const request = requestOf(ask);
  const probed = answerOf(engine.probe(request), request);
  if (faults.length > 0) throw new Error("a probe reported a fault");
  const answer = answerOf(engine.translate(request), request);
  const report = faults.pop();
  const { result: reason, suppressed } = answer;
  const expected = reason > 0 ? { reason, suppressed, address: report?.address } : undefined;
  if (!same(report, expected) || faults.length > 0) {
    throw new Error(`${show(ask)}: reported ${show(report)}, expected ${show(expected)}`);
  }
  // where tables are used in two roles at once, D may be set by the very walk that looks at it
  if (!agrees(ask, probed, answer))
    throw new Error(`probe says ${show(probed)}, not ${show(answer)}`);
  return answer;
}

/** What the model says. */
export interface Expected {
  readonly answer: Answer;
  /** What it writes: memory itself stays as it is. */
  readonly writes: ReadonlyMap<bigint, bigint>;
  /** The last qword of the tables that it read. */
  readonly lastRead: bigint;
}

function askModel(soup: Soup, ask: Ask): Expected {
  const writes = new Map<bigint, bigint>();
  let lastRead = -1n;
  const world: World = {
    capabilities: soup.capabilities,
    hostAddressWidth: soup.hostAddressWidth,
    majorVersion: soup.majorVersion,
    enabled: soup.enabled,
    root: soup.root,
    ttm: soup.ttm,
    ssirwe: soup.ssirwe,
    protectedRanges: soup.protectedRanges,
    read: (address) => {
      lastRead = address;
      return writes.get(address) ?? soup.read(address);
    },
    write: (address, value) => {
      writes.set(address, value);
      return true;
    },
  };
  const answer = representable(oracle(world, ask, { 1: scalableMode }));
  return { answer, writes, lastRead };
}

/** Sends a request; the engine and the model must agree, in what they write as well. */
export function compare(soup: Soup, shadow: Shadow, ask: Ask): Expected {
  const expected = askModel(soup, ask);
  const answer = askEngine(soup, ask);
  if (!agrees(ask, answer, expected.answer)) {
    throw new Error(`${show(ask)}: ${show(answer)}, the model says ${show(expected.answer)}`);
  }
  for (const [address, value] of expected.writes) {
    const found = soup.read(address);
    if (found !== value) {
      throw new Error(`${show(ask)}: ${show({ address, found, value })}`);
    }
    shadow.write(address, value);
  }
  // and again, now that it may be cached
  const again = askEngine(soup, ask);
  if (!same(again, answer)) throw new Error(`${show(ask)} again: ${show(again)}`);
  return expected;
}

/** The fault reason in hex, "0" or "-1": what answers are counted by. */
export const kindOf = ({ result }: Answer): string =>
  result > 0 ? result.toString(16) : String(result);
