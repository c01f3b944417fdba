import { ViommuError } from "@viommu/plugin";
import type { DmaRequest, GuestMemory } from "@viommu/plugin";
import { hiPlus, loPlus } from "./caller-memory.ts";
import { Errno } from "./errno.ts";
import {
  ALL_DEVICES,
  OP_BYTES,
  OpField,
  SubOp,
  TRANSLATION_BYTES,
  ViommuType,
} from "./op-layout.ts";
import { readAnswer, writeAddress, writeQuestion } from "./translation-record.ts";

const { CREATE, QUERY, BATCH } = OpField;

/** What a client works with. */
export interface ClientOptions {
  /** Issues the hypercall with the address of the operation: `registry.viommuOp(caller, hi, lo)`. */
  readonly invoke: (this: void, hi: number, lo: number) => number;
  /** Memory of the calling domain. */
  readonly memory: GuestMemory;
  /** Room for operations in it, in bytes: 64 for the operation, the rest for lists. */
  readonly buffer: { readonly hi: number; readonly lo: number; readonly bytes: number };
}

/** A vIOMMU to create. */
export interface CreateRequest {
  /** Guest-physical address of the registers, a multiple of 4096. */
  readonly base: number;
  /** Bits of `ViommuCapability`. */
  readonly capabilities: number;
  /** PCI segment; 0 unless given. */
  readonly segment?: number;
  /** Source-ids of its scope; without them all devices of the segment that no other lists. */
  readonly devices?: readonly number[];
}

/** What `query` found. */
export interface ViommuInfo {
  /** Bits of `ViommuCapability`. */
  readonly capabilities: number;
  /** vIOMMUs that the domain may have. */
  readonly viommus: number;
  /** Translations of one hypercall. */
  readonly translationsPerCall: number;
}

/** The hypercall for callers: a toolstack, a device model. Errors are negative `Errno`s. */
export class ViommuClient {
  /** Hypercalls issued. */
  hypercalls = 0;
  readonly #options: ClientOptions;
  readonly #op = new Uint8Array(OP_BYTES);
  readonly #view = new DataView(this.#op.buffer);
  readonly #result: { error: number; status: number } = { error: 0, status: 0 };

  /** Throws ERR_VIOMMU_XEN_CLIENT when the buffer has no room for an operation. */
  constructor(options: ClientOptions) {
    this.#options = options;
    if (options.buffer.bytes < OP_BYTES) throw tooSmall(options.buffer.bytes, OP_BYTES);
  }

  /** Translations that fit into one batch. */
  get batchRoom(): number {
    return Math.floor((this.#options.buffer.bytes - OP_BYTES) / TRANSLATION_BYTES);
  }

  /** What can be created; a negative number on an error. */
  query(domid: number): ViommuInfo | number {
    const view = this.#begin(SubOp.QUERY_CAPABILITIES, domid);
    view.setUint8(QUERY.TYPE, ViommuType.INTEL_VTD);
    const error = this.#issue();
    if (error !== 0) return error;
    return {
      capabilities: view.getUint32(QUERY.CAPABILITIES, true),
      viommus: view.getUint32(QUERY.VIOMMUS, true),
      translationsPerCall: view.getUint32(QUERY.PER_CALL, true),
    };
  }

  /** The id of the new vIOMMU. */
  create(domid: number, request: CreateRequest): number {
    const { base, capabilities, segment = 0, devices } = request;
    const view = this.#begin(SubOp.CREATE, domid);
    view.setUint8(CREATE.TYPE, ViommuType.INTEL_VTD);
    view.setUint8(CREATE.FLAGS, devices === undefined ? ALL_DEVICES : 0);
    view.setUint16(CREATE.SEGMENT, segment, true);
    view.setBigUint64(CREATE.BASE, BigInt(base), true);
    view.setUint32(CREATE.CAPABILITIES, capabilities, true);
    if (devices !== undefined) {
      const list = Uint8Array.from(devices.flatMap((sourceId) => [sourceId & 0xff, sourceId >> 8]));
      const [hi, lo] = this.#store(list);
      view.setUint32(CREATE.DEVICE_COUNT, devices.length, true);
      writeAddress(view, CREATE.DEVICES, hi, lo);
    }
    const error = this.#issue();
    return error !== 0 ? error : view.getUint32(OpField.VIOMMU_ID, true);
  }

  destroy(domid: number, viommuId: number): number {
    const view = this.#begin(SubOp.DESTROY, domid);
    view.setUint32(OpField.VIOMMU_ID, viommuId, true);
    return this.#issue();
  }

  /** One DMA of a virtual device; a translation goes into the request. */
  translate(domid: number, segment: number, request: DmaRequest, probe = false): TranslateResult {
    const view = this.#begin(SubOp.TRANSLATE, domid);
    writeQuestion(view, OpField.BODY, segment, request, probe);
    this.#result.error = this.#issue();
    this.#result.status = this.#result.error === 0 ? readAnswer(view, OpField.BODY, request) : 0;
    return this.#result;
  }

  /**
   * A list of DMAs, with as many hypercalls as it takes. `statuses` gets the answer of each one.
   * Throws ERR_VIOMMU_XEN_CLIENT when the buffer has no room for the list.
   */
  translateBatch(
    domid: number,
    segment: number,
    requests: readonly DmaRequest[],
    statuses: Int32Array,
  ): number {
    const records = new Uint8Array(requests.length * TRANSLATION_BYTES);
    const recordView = new DataView(records.buffer);
    requests.forEach((request, i) => {
      writeQuestion(recordView, i * TRANSLATION_BYTES, segment, request, false);
    });
    const [hi, lo] = this.#store(records);
    const view = this.#begin(SubOp.TRANSLATE_BATCH, domid);
    writeAddress(view, BATCH.ENTRIES, hi, lo);
    view.setUint32(BATCH.COUNT, requests.length, true);
    let error: number;
    do error = this.#issue();
    while (error === -Errno.ERESTART);
    if (error !== 0) return error;
    if (!this.#options.memory.readBytes(hi, lo, records)) return -Errno.EFAULT;
    requests.forEach((request, i) => {
      statuses[i] = readAnswer(recordView, i * TRANSLATION_BYTES, request);
    });
    return 0;
  }

  /** The accesses that an invalidation waits for are over. */
  drained(domid: number, viommuId: number, ticket: number): number {
    const view = this.#begin(SubOp.DRAINED, domid);
    view.setUint32(OpField.VIOMMU_ID, viommuId, true);
    view.setUint32(OpField.DRAINED.TICKET, ticket, true);
    return this.#issue();
  }

  #begin(command: number, domid: number): DataView {
    this.#op.fill(0);
    this.#view.setUint32(OpField.CMD, command, true);
    this.#view.setUint32(OpField.DOMID, domid, true);
    return this.#view;
  }

  #issue(): number {
    const { memory, buffer, invoke } = this.#options;
    if (!memory.writeBytes(buffer.hi, buffer.lo, this.#op)) return -Errno.EFAULT;
    this.hypercalls += 1;
    const result = invoke(buffer.hi, buffer.lo);
    if (!memory.readBytes(buffer.hi, buffer.lo, this.#op)) return -Errno.EFAULT;
    return result;
  }

  /** Puts a list behind the operation; returns its address. */
  #store(list: Uint8Array): readonly [hi: number, lo: number] {
    const { memory, buffer } = this.#options;
    const needed = OP_BYTES + list.length;
    if (needed > buffer.bytes) throw tooSmall(buffer.bytes, needed);
    const hi = hiPlus(buffer.hi, buffer.lo, OP_BYTES);
    const lo = loPlus(buffer.lo, OP_BYTES);
    memory.writeBytes(hi, lo, list);
    return [hi, lo];
  }
}

/** An answer of {@link ViommuClient.translate}; used again by the next one. */
export interface TranslateResult {
  /** 0, or a negative `Errno`: then there is no answer. */
  readonly error: number;
  /** As `DmaRemapper.translate` returns it. */
  readonly status: number;
}

function tooSmall(bytes: number, needed: number): ViommuError {
  return new ViommuError(
    "ERR_VIOMMU_XEN_CLIENT",
    `the buffer of ${bytes} bytes is too small; this needs ${needed}`,
  );
}
