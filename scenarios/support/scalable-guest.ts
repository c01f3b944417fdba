import { Guest, Gcmd, Reg } from "./guest.ts";
import type { GuestOptions } from "./guest.ts";
import { SecondStage } from "./second-stage.ts";

/** Entries of a first-stage table (VT-d 9.7): present, user, writable, A and D; read-only; supervisor. */
const USER = 0x67n;
export const USER_READ_ONLY = 0x65n;
export const SUPERVISOR = 0x63n;

/** A first-stage table as a guest writes it, the page table of a process. */
export class FirstStage extends SecondStage {
  override readonly link = 0x27n;

  override map(address: bigint, page: bigint, flags = USER): this {
    return this.put(address, 1, page | flags);
  }

  unmap(address: bigint): this {
    return this.put(address, 1, 0n);
  }
}

/** Bits of a scalable-mode context entry (VT-d 9.4): P, DTE, PASIDE, PRE, directory of 64 PASIDs * 128. */
const CONTEXT = 0x1n | 0x4n | 0x8n | 0x10n;

/** Translated requests need permission. */
const HPTE = 0x20n;

/** PGTT and AW of 48 bits in a PASID table entry (VT-d 9.6). */
const FIRST_STAGE = 0x49n;
const NESTED = 0xc9n;
/** PWSNP: page walks snoop. */
const SNOOPED = 0x80_0000n;

/** What a page request in the queue says (VT-d 7.4.1.1). */
export interface QueuedPageRequest {
  readonly sourceId: bigint;
  readonly pasid: bigint;
  readonly address: bigint;
  readonly write: boolean;
  readonly group: bigint;
  readonly last: boolean;
}

/** A guest in scalable mode: devices with PASIDs, device-TLBs and page requests. */
export class ScalableGuest extends Guest {
  readonly #root = this.alloc();
  readonly #context = this.alloc();
  readonly #directory = this.alloc();
  readonly #pasids = this.alloc();
  #pageQueue = 0n;

  constructor(options: GuestOptions = {}) {
    super({
      ...options,
      capabilities: {
        ...{ SMTS: 1, FSTS: 1, SSTS: 1, NEST: 1, SMPWCS: 1, PASID: 1, PSS: 19 },
        ...{ DT: 1, PRS: 1, PDS: 1 },
        ...options.capabilities,
      },
    });
    this.put128(this.#root, this.#context | 1n, 0n);
    this.put64(this.#directory, this.#pasids | 1n);
    this.enableQueue(3, true);
    this.write64(Reg.RTADDR, this.#root | 0x400n);
    this.command(Gcmd.SRTP);
    this.command(Gcmd.TE);
  }

  firstStage(): FirstStage {
    return new FirstStage(this);
  }

  /**
   * Gives a device (of bus 0, below 10.0) its context entry; all devices share their PASIDs, 0 is that
   * of requests without one.
   */
  addDevice(sourceId: number, { hostPermissions = false } = {}): void {
    const flags = CONTEXT | (hostPermissions ? HPTE : 0n);
    this.put128(this.#context + BigInt(sourceId) * 32n, this.#directory | flags, 0n);
  }

  /** The table entry of a PASID, 0 to 63. */
  pasidEntry(pasid: number): bigint {
    return this.#pasids + BigInt(pasid) * 64n;
  }

  /** Binds a page table to a PASID. The present bit is written last. */
  bind(pasid: number, tables: FirstStage, domainId: number): void {
    const entry = this.pasidEntry(pasid);
    this.put64(entry + 16n, tables.root);
    this.put64(entry + 8n, BigInt(domainId) | SNOOPED);
    this.put64(entry, FIRST_STAGE);
  }

  /** Binds a page table on top of a second stage. */
  bindNested(pasid: number, tables: FirstStage, second: SecondStage, domainId: number): void {
    this.bind(pasid, tables, domainId);
    this.put64(this.pasidEntry(pasid), second.root | NESTED);
  }

  // Page requests

  /** A page request queue of 2^(size+7) entries, and its event as a message with this data. */
  enablePageRequests(size: number, data: number): void {
    this.#pageQueue = this.alloc(1 << size);
    this.write64(Reg.PQA, this.#pageQueue | BigInt(size));
    this.write64(Reg.PQH, 0n);
    this.write64(Reg.PQT, 0n);
    this.write32(Reg.PEDATA, data);
    this.write32(Reg.PEADDR, 0xfee0_0000);
    this.write32(Reg.PECTL, 0);
  }

  /** What is in the queue; `done` moves the head, which makes room. */
  pageRequests(): { readonly requests: QueuedPageRequest[]; readonly done: () => void } {
    // the status first: a request that comes later raises the event again
    this.write32(Reg.PRS, 1);
    const bytes = 4096n << (this.read64(Reg.PQA) & 7n);
    const tail = this.read64(Reg.PQT);
    const requests: QueuedPageRequest[] = [];
    let head = this.read64(Reg.PQH);
    for (; head !== tail; head = (head + 32n) % bytes) {
      const low = this.get64(this.#pageQueue + head);
      const high = this.get64(this.#pageQueue + head + 8n);
      requests.push({
        sourceId: (low >> 16n) & 0xffffn,
        pasid: (low >> 32n) & 0xf_ffffn,
        address: high & ~0xfffn,
        write: (high & 2n) !== 0n,
        group: (high >> 3n) & 0x1ffn,
        last: (high & 4n) !== 0n,
      });
    }
    return {
      requests,
      done: () => {
        this.write64(Reg.PQH, tail);
      },
    };
  }
}

// Descriptors (VT-d 6.5.2, 7.6.1)

type Descriptor = readonly [bigint, bigint];

/** Drops the PASID table entry of a PASID from the PASID-cache. */
export const pasidCache = (domainId: bigint, pasid: bigint): Descriptor => [
  (pasid << 32n) | (domainId << 16n) | 0x17n,
  0n,
];

/** Drops all translations of a PASID from the IOTLB. */
export const pasidIotlb = (domainId: bigint, pasid: bigint): Descriptor => [
  (pasid << 32n) | (domainId << 16n) | 0x26n,
  0n,
];

/** Drops one page of a PASID from the IOTLB. */
export const pasidIotlbPage = (domainId: bigint, pasid: bigint, page: bigint): Descriptor => [
  (pasid << 32n) | (domainId << 16n) | 0x36n,
  page,
];

/** Drops all translations of a PASID from a device-TLB. */
export const deviceTlb = (sourceId: number, pasid: bigint): Descriptor => [
  (pasid << 32n) | (BigInt(sourceId) << 16n) | 0x8n,
  0x7fff_ffff_ffff_f800n,
];

/** Drops one page of a PASID from a device-TLB. */
export const deviceTlbPage = (sourceId: number, pasid: bigint, page: bigint): Descriptor => [
  (pasid << 32n) | (BigInt(sourceId) << 16n) | 0x8n,
  page,
];

/** Drops one page of requests without PASID from a device-TLB. */
export const ownDeviceTlbPage = (sourceId: number, page: bigint): Descriptor => [
  (BigInt(sourceId) << 32n) | 0x3n,
  page,
];

/** Answers a group of page requests; code 0 is success, 1 invalid request. */
export const pageGroupResponse = (
  { sourceId, pasid, group }: QueuedPageRequest,
  code: bigint,
): Descriptor => [(pasid << 32n) | (sourceId << 16n) | (code << 12n) | 0x19n, group << 3n];
