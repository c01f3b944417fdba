import { Exchange } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import type { MemoryLayout } from "./memory-layout.ts";
import type { MemoryUnderTest } from "./memory-under-test.ts";
import { Random } from "./random.ts";

const STEPS = 4000;
/** Bytes on each side of an edge that a walk touches. */
const REACH = 48;

/** Long sequences of accesses to GuestMemory, against a slow model. */
export function walkRequirements(): readonly Requirement<MemoryUnderTest>[] {
  return [
    {
      name: "any sequence of accesses leaves what it wrote last",
      chapterOrPort: "GuestMemory",
      sentence: "Guest-physical memory as a unit and its devices see it.",
      prove: (memory, judge) => {
        const model = new Model(memory);
        const random = new Random(7);
        for (let step = 0; step < STEPS; step += 1) model.step(random, judge, step);
      },
    },
  ];
}

/** Every byte near an edge, in a Map; undefined is no memory. */
class Model {
  readonly #memory: MemoryUnderTest;
  readonly #layout: MemoryLayout;
  readonly #bytes = new Map<number, number>();

  constructor(memory: MemoryUnderTest) {
    const { layout } = memory;
    this.#memory = memory;
    this.#layout = layout;
    for (const edge of layout.edges) {
      for (let at = edge - 2 * REACH; at < edge + 2 * REACH; at += 1) {
        const byte = layout.covers(at, 1) ? memory.bytes(at, 1)[0] : undefined;
        if (byte !== undefined) this.#bytes.set(at, byte);
      }
    }
  }

  step(random: Random, judge: Judge, step: number): void {
    const start = random.pick(this.#layout.edges) - REACH + random.below(2 * REACH);
    const address = Math.max(0, start);
    const word = address - (address % 4);
    switch (random.below(5)) {
      case 0:
        judge.subject = `step ${step}: writeWord, ${this.#layout.describe(word, 4)}`;
        this.#writeWord(judge, word, random.word());
        break;
      case 1:
        judge.subject = `step ${step}: exchangeWord, ${this.#layout.describe(word, 4)}`;
        this.#exchange(judge, word, random.word(), random.below(2) === 0);
        break;
      case 2: {
        const source = random.bytes(1 + random.below(REACH));
        judge.subject = `step ${step}: writeBytes, ${this.#layout.describe(address, source.length)}`;
        this.#writeBytes(judge, address, source);
        break;
      }
      case 3: {
        const source = random.bytes(1 + random.below(REACH));
        judge.subject = `step ${step}: view, ${this.#layout.describe(address, source.length)}`;
        this.#writeView(judge, address, source);
        break;
      }
      default: {
        const length = 1 + random.below(REACH);
        judge.subject = `step ${step}: readBytes, ${this.#layout.describe(address, length)}`;
        this.#read(judge, address, length);
      }
    }
  }

  #writeWord(judge: Judge, address: number, value: number): void {
    const writable = this.#layout.covers(address, 4, true);
    judge.equal("result", this.#memory.writeWord(address, value), writable);
    if (writable) this.#keep(address, littleEndian(value));
    this.#read(judge, address, 4);
  }

  #exchange(judge: Judge, address: number, value: number, equal: boolean): void {
    const writable = this.#layout.covers(address, 4, true);
    const held = this.#memory.word(address) ?? 0;
    const expected = !writable ? Exchange.FAILED : equal ? Exchange.DONE : Exchange.DIFFERS;
    const given = equal ? held : held ^ 0x10;
    judge.equal("result", this.#memory.exchange(address, given, value), expected);
    if (expected === Exchange.DONE) this.#keep(address, littleEndian(value));
    this.#read(judge, address, 4);
  }

  #writeBytes(judge: Judge, address: number, source: Uint8Array): void {
    const writable = this.#layout.covers(address, source.length, true);
    judge.equal("result", this.#memory.writeBytes(address, source), writable);
    if (writable) this.#keep(address, source);
    this.#read(judge, address, source.length);
  }

  #writeView(judge: Judge, address: number, source: Uint8Array): void {
    const view = this.#memory.view(address, source.length, true);
    if (view === null) return;
    view.set(source);
    this.#keep(address, source);
    this.#read(judge, address, source.length);
  }

  #read(judge: Judge, address: number, length: number): void {
    if (!this.#layout.covers(address, length)) return;
    const expected = Uint8Array.from({ length }, (_, i) => this.#bytes.get(address + i)!);
    judge.sameBytes("memory", this.#memory.bytes(address, length), expected);
  }

  #keep(address: number, source: Uint8Array): void {
    source.forEach((byte, i) => this.#bytes.set(address + i, byte));
  }
}

function littleEndian(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}
