import type { FrameAllocator, PostedLookup } from "@viommu/piommu";
import { Exchange, hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { GuestMemory, InterruptSink } from "@viommu/plugin";
import { bits, encode, POSTED_INTERRUPT_DESCRIPTOR } from "@viommu/vtd-spec";

const PAGE = 4096;
const DESCRIPTOR = 64;
/** The host's vector for notifications. */
const NOTIFICATION = 0xf2;
/** Words of PIR: a bit for each vector. */
const REQUEST_WORDS = 8;
const ON = bits(POSTED_INTERRUPT_DESCRIPTOR, "ON");
const FEE = 0xfee0_0000 | 0;

/**
 * The posted-interrupt descriptors of a guest's vCPUs (VT-d 9.11) in host memory, and the host's
 * local APICs, which get the notifications: vCPU n runs on processor n of the host, all the time. What
 * was posted for a vCPU goes into its virtual APIC; other messages are the guest's as they are.
 */
export class PostedDescriptors implements InterruptSink {
  /** Interrupts that were posted. */
  posted = 0;
  readonly lookup: PostedLookup;
  readonly #memory: GuestMemory;
  readonly #apicIds: readonly number[];
  readonly #guest: InterruptSink;
  readonly #base: number;
  readonly #words = new Int32Array(1);

  /** `guest` has the virtual APICs, whose ids are given by vCPU. */
  constructor(frames: FrameAllocator, apicIds: readonly number[], guest: InterruptSink) {
    const first = frames.allocate(Math.ceil((apicIds.length * DESCRIPTOR) / PAGE));
    const vcpus = new Map(apicIds.map((apicId, vcpu) => [apicId, vcpu]));
    this.#memory = frames.memory;
    this.#apicIds = apicIds;
    this.#guest = guest;
    this.#base = first * PAGE;
    apicIds.forEach((_, vcpu) => {
      const words = encode(POSTED_INTERRUPT_DESCRIPTOR, { NV: NOTIFICATION, NDST: vcpu });
      words.forEach((word, i) => {
        const at = this.#addressOf(vcpu) + 4 * i;
        this.#memory.writeWord(hiFromNumber(at), loFromNumber(at), word);
      });
    });
    this.lookup = (destination, logical) => {
      const vcpu = vcpus.get(destination);
      if (logical || vcpu === undefined) return null;
      return { descriptor: this.#addressOf(vcpu) / DESCRIPTOR, urgent: false };
    };
  }

  deliver(upper: number, address: number, data: number): void {
    const processor = ((upper & 0xffff_ff00) | ((address >>> 12) & 0xff)) >>> 0;
    // a guest may use the same vector: then nothing is outstanding
    const isNotification = (data & 0xff) === NOTIFICATION && processor < this.#apicIds.length;
    if (isNotification && this.#takeBits(processor, ON.word, 1 << ON.shift) !== 0) {
      this.#notified(processor);
    } else this.#guest.deliver(upper, address, data);
  }

  /** Moves what was posted into the virtual APIC: ON is clear by now, so nothing new goes unseen. */
  #notified(vcpu: number): void {
    const apicId = this.#apicIds[vcpu]!;
    for (let word = 0; word < REQUEST_WORDS; word += 1) {
      for (let rest = this.#takeBits(vcpu, word, -1); rest !== 0; rest &= rest - 1) {
        const vector = 32 * word + 31 - Math.clz32(rest & -rest);
        this.posted += 1;
        this.#guest.deliver(apicId & 0xffff_ff00, FEE | ((apicId & 0xff) << 12), vector);
      }
    }
  }

  /** Clears bits of a word of a descriptor; returns those that were set. */
  #takeBits(vcpu: number, word: number, mask: number): number {
    const address = this.#addressOf(vcpu) + 4 * word;
    const hi = hiFromNumber(address);
    const lo = loFromNumber(address);
    for (;;) {
      this.#memory.readWords(hi, lo, 1, this.#words);
      const found = this.#words[0]!;
      if ((found & mask) === 0) return 0;
      const result = this.#memory.exchangeWord(hi, lo, found, found & ~mask);
      if (result === Exchange.DONE) return found & mask;
    }
  }

  #addressOf(vcpu: number): number {
    return this.#base + vcpu * DESCRIPTOR;
  }
}
