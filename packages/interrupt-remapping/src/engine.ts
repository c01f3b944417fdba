import { InterruptResult } from "@viommu/plugin";
import type {
  GuestMemory,
  HookTable,
  InterruptRemapper,
  InterruptRequest,
  InterruptSink,
} from "@viommu/plugin";
import { bits, DeliveryMode, FaultReason, IRTE_REMAPPED } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { extendedFormat, xapicFormat } from "./entry-format.ts";
import type { EntryFormat } from "./entry-format.ts";
import { remappedMessage } from "./message.ts";
import { PostedInterrupts } from "./posted-interrupts.ts";
import { interruptIndex, isInterruptAddress, isRemappable } from "./request-format.ts";
import { verifySource } from "./source-id.ts";

/*
 * What every request needs is held in constants of this module: these are folded into the machine
 * code, while an imported binding is loaded and checked each time (measured: a quarter of a request).
 */
const { DELIVER } = InterruptResult;
const isInterrupt = isInterruptAddress;
const isForTable = isRemappable;
const indexOf = interruptIndex;
const verify = verifySource;
const complete = remappedMessage;

const P = 1 << bits(IRTE_REMAPPED, "P").shift;
const FPD = 1 << bits(IRTE_REMAPPED, "FPD").shift;
const IM = 1 << bits(IRTE_REMAPPED, "IM").shift;
const DLM_SHIFT = bits(IRTE_REMAPPED, "DLM").shift;
const DLM_MASK = bits(IRTE_REMAPPED, "DLM").mask;

/** Bit n is set where delivery mode n is defined (VT-d 9.9). */
const DELIVERY_MODES = Object.values<number>(DeliveryMode).reduce(
  (modes, mode) => modes | (1 << mode),
  0,
);

/** Address 31:20 and the format bit, and what they are in a request in remappable format. */
const SHAPE = (0xfff << 20) | (1 << 4);
const REMAPPABLE = (0xfee << 20) | (1 << 4);
/** The shape of no request: SHAPE leaves bit 0 out. */
const NO_SHAPE = 1;
/** SVT = 01b, SQ = 00b in the third word of an entry: the whole source-id is compared. */
const WHOLE_SOURCE_ID = 1 << bits(IRTE_REMAPPED, "SVT").shift;
const NOTHING = new Int32Array(0);

/** log2 of the size of an entry in bytes. */
const ENTRY_SHIFT = 4;

const LO_MASK = 0x3fff_ffff;

/** How often an entry is read again which a guest CPU in another thread is changing. */
const READS = 4;

/** Takes the faults of an engine: the fault log of its unit. */
export interface InterruptFaultReporter {
  /**
   * A request was blocked; `request.suppressed` tells that FPD keeps it out of the log. `index` is
   * the interrupt index, 0 to 1_FFFEh (the log has room for its bits 15:0), or -1 where the request
   * named none.
   */
  interruptFault(reason: number, request: InterruptRequest, index: number): void;
}

/** What an {@link InterruptRemappingEngine} is made of. */
export interface InterruptRemappingOptions {
  readonly memory: GuestMemory;
  /** EIMER, IRREQ and PI count. */
  readonly capabilities: Capabilities;
  /** HAW in bits, 32 to 52. */
  readonly hostAddressWidth: number;
  /** PCI segment of the unit. */
  readonly segment: number;
  readonly reporter: InterruptFaultReporter;
  readonly hooks: Readonly<HookTable>;
  /** Name of the unit, for hooks. */
  readonly unit: string;
  /** Takes the notification events of posted interrupts. */
  readonly sink: InterruptSink;
}

/**
 * Interrupt remapping and posting of one unit (VT-d chapter 5). Entries are read from memory for
 * each request, so nothing has to be invalidated.
 */
export class InterruptRemappingEngine implements InterruptRemapper {
  readonly segment: number;
  readonly #memory: GuestMemory;
  readonly #shared: boolean;
  readonly #reporter: InterruptFaultReporter;
  readonly #hooks: Readonly<HookTable>;
  readonly #unit: string;
  readonly #posted: PostedInterrupts;
  readonly #xapic: EntryFormat;
  readonly #extended: EntryFormat;
  readonly #remappingRequired: boolean;
  readonly #extendedRequired: boolean;
  /** Bits of `hi` at and above the host address width. */
  readonly #beyondWidth: number;
  readonly #words = new Int32Array(4);
  /** GSTS.IRES. */
  #enabled = false;
  /** GSTS.CFIS. */
  #compatibility = false;
  /** IRTA.EIME, and what it means. */
  #eime = false;
  #format: EntryFormat;
  /** Enabled, with EIME where that is required: requests in remappable format meet the table. */
  #usesTable = false;
  #tableHi = 0;
  #tableLo = 0;
  #entries = 0;
  // What the short way of `remap` reads, derived from the state above.
  #shape = NO_SHAPE;
  /** The chunk of memory with the table in it, and the word where it begins. */
  #view: Int32Array = NOTHING;
  #viewAt = 0;
  /** Bits that are 0 in the first two words of a remapped entry, or P. */
  #fixedLow = 0;
  #fixedHigh = 0;
  #destinationShift = 0;
  #destinationMask = 0;
  /** Index of the request in work, or -1. */
  #index = -1;

  constructor(options: InterruptRemappingOptions) {
    const { memory, capabilities, hostAddressWidth } = options;
    this.segment = options.segment;
    this.#memory = memory;
    this.#shared = memory.shared;
    this.#reporter = options.reporter;
    this.#hooks = options.hooks;
    this.#unit = options.unit;
    this.#posted = new PostedInterrupts(memory, options.sink);
    this.#xapic = xapicFormat(capabilities, hostAddressWidth);
    this.#extended = extendedFormat(capabilities, hostAddressWidth);
    this.#format = this.#xapic;
    this.#remappingRequired = capabilities.IRREQ !== 0;
    this.#extendedRequired = capabilities.EIMER !== 0;
    this.#beyondWidth = -1 << (hostAddressWidth - 30);
    this.reset();
  }

  /** GSTS.IRES: requests are remapped. */
  setEnabled(on: boolean): void {
    this.#enabled = on;
    this.#usesTable = on && (this.#eime || !this.#extendedRequired);
    this.#prepareShortWay();
  }

  /** GSTS.CFIS: requests in compatibility format pass. */
  setCompatibility(on: boolean): void {
    this.#compatibility = on;
  }

  /**
   * Takes over IRTA (VT-d 11.4.10), as GCMD.SIRTP asks for it.
   * @param sizeLog2 log2 of the number of entries, 1 to 16 (IRTA.S + 1)
   * @param eime IRTA.EIME: APIC ids have 32 bits
   */
  latchTable(hi: number, lo: number, sizeLog2: number, eime: boolean): void {
    this.#tableHi = hi;
    this.#tableLo = lo;
    this.#entries = 1 << sizeLog2;
    this.#eime = eime;
    this.#format = eime ? this.#extended : this.#xapic;
    this.setEnabled(this.#enabled);
  }

  /** Back to power-on state. */
  reset(): void {
    this.setEnabled(false);
    this.setCompatibility(false);
    this.latchTable(0, 0, 1, false);
  }

  /**
   * As the port says. A write to another address than FEEx_xxxxh is blocked as malformed: whoever
   * sends it must treat it as DMA. The words of the message are signed 32-bit ints.
   */
  remap(request: InterruptRequest): number {
    // The short way, for what nearly every message is: its entry lies in plain memory, is present,
    // in remapped format, with nothing reserved, and compares the whole source-id. One pass, no call.
    const address = request.address | 0;
    if ((address & SHAPE) === this.#shape && request.upper === 0) {
      const handle = ((address >>> 5) & 0x7fff) | ((address & 4) << 13);
      const subhandle = (address & 8) === 0 ? 0 : request.data | 0;
      const index = (handle + subhandle) | 0;
      const view = this.#view;
      const at = (this.#viewAt + (index << 2)) | 0;
      // bits 31:16 of a subhandle are reserved
      if (subhandle >>> 16 === 0 && index < this.#entries && (at | 3) < view.length) {
        const word0 = view[at]!;
        const word1 = view[at | 1]!;
        if (
          (word0 & this.#fixedLow) === P &&
          view[at | 2] === (WHOLE_SOURCE_ID | request.sourceId) &&
          ((word1 & this.#fixedHigh) | view[at | 3]!) === 0 &&
          ((DELIVERY_MODES >>> ((word0 >>> DLM_SHIFT) & DLM_MASK)) & 1) !== 0
        ) {
          complete(request, word0, (word1 >>> this.#destinationShift) & this.#destinationMask);
          request.suppressed = false;
          const delivery = this.#hooks.interruptDelivery;
          if (delivery !== null) delivery(this.#unit, request);
          return DELIVER;
        }
      }
    }
    return this.#remapInSteps(request);
  }

  /** All checks, in the order of VT-d 5.1.4. */
  #remapInSteps(request: InterruptRequest): number {
    this.#prepareShortWay(); // the memory may have got another view
    const result = this.#answer(request, true);
    if (result === DELIVER) {
      const delivery = this.#hooks.interruptDelivery;
      if (delivery !== null) delivery(this.#unit, request);
    } else if (result > 0) {
      this.#reporter.interruptFault(result, request, this.#index);
    }
    return result;
  }

  #prepareShortWay(): void {
    const hi = this.#tableHi;
    const format = this.#format;
    const isPlain = !this.#shared && (hi & this.#beyondWidth) === 0;
    this.#view = (isPlain ? this.#memory.chunks[hi] : undefined) ?? NOTHING;
    this.#viewAt = this.#tableLo >>> 2;
    this.#shape = this.#usesTable ? REMAPPABLE : NO_SHAPE;
    this.#fixedLow = format.remapped[0]! | P | IM;
    this.#fixedHigh = format.remapped[1]!;
    this.#destinationShift = format.destinationShift;
    this.#destinationMask = format.destinationMask;
  }

  probe(request: InterruptRequest): number {
    return this.#answer(request, false);
  }

  #answer(request: InterruptRequest, effective: boolean): number {
    const address = request.address | 0;
    request.suppressed = false;
    this.#index = -1;
    if (!isInterrupt(request.upper, address)) return FaultReason.IR_MALFORMED;
    if (!this.#usesTable || !isForTable(address)) return this.#answerWithoutTable(request);
    const index = indexOf(address, request.data | 0);
    if (index < 0) return FaultReason.IR_REQUEST_RESERVED;
    this.#index = index;
    if (index >= this.#entries) return FaultReason.IR_INDEX_BEYOND_TABLE;
    return this.#answerByEntry(request, index, effective);
  }

  /** VT-d 5.1.4: remapping is off, or not as required, or the request is in compatibility format. */
  #answerWithoutTable(request: InterruptRequest): number {
    if (!this.#enabled) {
      if (this.#remappingRequired) return FaultReason.IR_REQUIRED;
    } else {
      if (!this.#usesTable) return FaultReason.EIM_REQUIRED;
      if (this.#eime || !this.#compatibility) return FaultReason.IR_COMPATIBILITY_BLOCKED;
    }
    request.messageAddress = request.address | 0;
    request.messageUpper = 0;
    request.messageData = request.data | 0;
    return DELIVER;
  }

  #answerByEntry(request: InterruptRequest, index: number, effective: boolean): number {
    const offset = this.#tableLo + (index << ENTRY_SHIFT);
    const hi = this.#tableHi + (offset >>> 30);
    const lo = offset & LO_MASK;
    if ((hi & this.#beyondWidth) !== 0) return FaultReason.IR_INDEX_BEYOND_TABLE;

    let word0: number;
    let word1: number;
    let word2: number;
    let word3: number;
    const chunk = this.#memory.chunks[hi];
    const at = lo >>> 2;
    if (chunk !== undefined && at + 3 < chunk.length && !this.#shared) {
      word0 = chunk[at]!;
      word1 = chunk[at | 1]!;
      word2 = chunk[at | 2]!;
      word3 = chunk[at | 3]!;
    } else {
      const words = this.#words;
      if (!this.#readEntry(hi, lo, words)) return FaultReason.IRTE_ACCESS;
      word0 = words[0]!;
      word1 = words[1]!;
      word2 = words[2]!;
      word3 = words[3]!;
    }

    // VT-d 5.1.4: present, then the requester, then the format of the entry.
    if ((word0 & P) === 0) return block(request, FaultReason.IRTE_NOT_PRESENT, word0);
    const source = verify(word2, request.sourceId);
    if (source !== 0) return block(request, source, word0);
    const format = this.#format;
    const posted = (word0 & IM) !== 0; // where CAP.PI is 0, IM is reserved in both formats
    const reserved = posted ? format.posted : format.remapped;
    const wrong =
      (word0 & reserved[0]!) |
      (word1 & reserved[1]!) |
      (word2 & reserved[2]!) |
      (word3 & reserved[3]!);
    if (wrong !== 0) return block(request, FaultReason.IRTE_RESERVED, word0);
    if (posted) {
      const result = this.#posted.post(word0, word1, word3, format, effective);
      return result > 0 ? block(request, result, word0) : result;
    }
    const deliveryMode = (word0 >>> DLM_SHIFT) & DLM_MASK;
    if (((DELIVERY_MODES >>> deliveryMode) & 1) === 0) {
      return block(request, FaultReason.IRTE_RESERVED, word0);
    }
    complete(request, word0, (word1 >>> format.destinationShift) & format.destinationMask);
    return DELIVER;
  }

  /** Reads an entry whole: while another thread may change it, until it is twice the same. */
  #readEntry(hi: number, lo: number, words: Int32Array): boolean {
    if (!this.#memory.readWords(hi, lo, 4, words)) return false;
    for (let reads = 1; this.#shared && reads < READS; reads += 1) {
      const [word0, word1, word2, word3] = words;
      if (!this.#memory.readWords(hi, lo, 4, words)) return false;
      const sameLow = word0 === words[0] && word1 === words[1];
      if (sameLow && word2 === words[2] && word3 === words[3]) break;
    }
    return true;
  }
}

/** A qualified fault (VT-d 5.1.4.1): FPD of the entry decides whether it is recorded. */
function block(request: InterruptRequest, reason: number, word0: number): number {
  request.suppressed = (word0 & FPD) !== 0;
  return reason;
}
