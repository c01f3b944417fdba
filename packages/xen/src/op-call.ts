import type { XenDomain } from "./domain.ts";
import { OP_BYTES } from "./op-layout.ts";

/** One operation while it is carried out: the caller's structure, copied once. */
export class OpCall {
  readonly caller: XenDomain;
  readonly bytes: Uint8Array = new Uint8Array(OP_BYTES);
  readonly view: DataView = new DataView(this.bytes.buffer);

  constructor(caller: XenDomain) {
    this.caller = caller;
  }

  /** True when these bytes, which are no fields, hold 0. */
  isClear(from: number, end: number = OP_BYTES): boolean {
    for (let at = from; at < end; at += 1) if (this.bytes[at] !== 0) return false;
    return true;
  }
}
