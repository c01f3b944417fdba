import {
  AddressType,
  DmaRequest,
  DmaResult,
  hiFromBigint,
  InterruptRequest,
  InterruptResult,
  loFromBigint,
  toBigint,
} from "@viommu/plugin";
import type { DmaEvent, IrqEvent, Message } from "./format.ts";
import type { ReplayUnit } from "./replay-unit.ts";

/** A denied request; the reason is undefined where nothing was to be reported. */
export interface Denial {
  readonly ok: false;
  readonly fault: number | undefined;
}

/** The unit's answer to a DMA request. */
export type DmaAnswer =
  | {
      readonly ok: true;
      readonly gpa: bigint;
      /** Size minus 1 of the range for which the answer holds. */
      readonly mask: bigint;
      /** Bits of `Access`. */
      readonly granted: number;
    }
  | Denial;

/** The unit's answer to an interrupt request; no message when it was posted. */
export type IrqAnswer = { readonly ok: true; readonly message: Message | null } | Denial;

/** What a DMA event asks. */
export type AskedDma = Pick<DmaEvent, "sid" | "pasid" | "iova" | "access" | "index">;

/** The request of a DMA event. */
export function dmaRequest(event: AskedDma): DmaRequest {
  const request = new DmaRequest();
  request.sourceId = event.sid;
  request.pasid = event.pasid;
  request.addressType = event.index === 1 ? AddressType.TRANSLATED : AddressType.UNTRANSLATED;
  request.access = event.access;
  request.hi = hiFromBigint(event.iova);
  request.lo = loFromBigint(event.iova);
  return request;
}

/** Hands a DMA request to the unit; `probe` leaves no trace in its state. */
export function askDma(unit: ReplayUnit, event: AskedDma, how: "translate" | "probe"): DmaAnswer {
  const request = dmaRequest(event);
  return dmaAnswer(request, unit.dma[how](request));
}

/** What a result code and the output fields of a DMA request say. */
export function dmaAnswer(request: DmaRequest, result: number): DmaAnswer {
  if (result !== DmaResult.TRANSLATED) return denial(result);
  return {
    ok: true,
    gpa: toBigint(request.outHi, request.outLo),
    mask: (1n << BigInt(request.pageShift)) - 1n,
    granted: request.granted,
  };
}

/** Hands an interrupt request to the unit, as one of `sourceId`. */
export function askIrq(
  unit: ReplayUnit,
  event: Pick<IrqEvent, "addr" | "data">,
  sourceId: number,
  how: "remap" | "probe",
): IrqAnswer {
  const request = new InterruptRequest();
  request.sourceId = sourceId;
  request.address = Number(event.addr & 0xffff_ffffn) | 0;
  request.upper = Number(event.addr >> 32n) | 0;
  request.data = event.data | 0;
  return irqAnswer(request, unit.interrupts[how](request));
}

/** What a result code and the output fields of an interrupt request say. */
export function irqAnswer(request: InterruptRequest, result: number): IrqAnswer {
  if (result === InterruptResult.CONSUMED) return { ok: true, message: null };
  if (result !== InterruptResult.DELIVER) return denial(result);
  return {
    ok: true,
    message: message(request.messageUpper, request.messageAddress, request.messageData),
  };
}

/** A message out of the words of the interrupt port. */
export function message(upper: number, address: number, data: number): Message {
  return {
    address: (BigInt(upper >>> 0) << 32n) | BigInt(address >>> 0),
    data: data >>> 0,
  };
}

function denial(result: number): Denial {
  return { ok: false, fault: result > 0 ? result : undefined };
}
