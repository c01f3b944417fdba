import { encode, EVENT_MESSAGE, FECTL, Offset, PECTL } from "@viommu/vtd-spec";
import { destinationOf } from "./interrupt-destination.ts";
import type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
import type { RegisterWindow } from "./register-window.ts";

/** The registers of an event of a unit (VT-d 7.3, 7.5). */
interface EventRegisters {
  readonly control: typeof FECTL | typeof PECTL;
  readonly data: number;
  readonly address: number;
  readonly upperAddress: number;
}

/** A fault was recorded. */
export const FAULT_EVENT: EventRegisters = {
  control: FECTL,
  data: Offset.FEDATA,
  address: Offset.FEADDR,
  upperAddress: Offset.FEUADDR,
};

/** A page request was queued, or lost. */
export const PAGE_REQUEST_EVENT: EventRegisters = {
  control: PECTL,
  data: Offset.PEDATA,
  address: Offset.PEADDR,
  upperAddress: Offset.PEUADDR,
};

/** Says where the interrupt of an event goes, and lets it out. */
export function enableEvent(
  registers: RegisterWindow,
  event: EventRegisters,
  addressing: ApicAddressing,
  target: InterruptTarget,
): void {
  const { DST, DM } = destinationOf(addressing, target);
  const [data, address, upper] = encode(EVENT_MESSAGE, {
    FEE: 0xfee,
    DST: DST & 0xff,
    DST_HIGH: DST >>> 8,
    DM,
    V: target.vector,
  });
  registers.writeWord(event.data, data!);
  registers.writeWord(event.address, address!);
  registers.writeWord(event.upperAddress, upper!);
  registers.write(event.control, { IM: 0 });
}
