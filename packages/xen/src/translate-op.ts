import { DmaRequest } from "@viommu/plugin";
import { copyFromCaller, hiPlus, loPlus } from "./caller-memory.ts";
import type { XenDomain } from "./domain.ts";
import { Errno } from "./errno.ts";
import type { OpCall } from "./op-call.ts";
import { OpField, PROBE, TRANSLATION_BYTES, TranslationField } from "./op-layout.ts";
import { hiAt, loAt, readQuestion, writeAnswer } from "./translation-record.ts";

const { BATCH } = OpField;

/** `viommu_op` dma_translation_for_vpdev: one DMA of a virtual device. */
export function translate(call: OpCall, domain: XenDomain): number {
  return answer(call.view, OpField.BODY, domain, new DmaRequest());
}

/**
 * The same for an array. `done` entries have been answered; after as many as the domain's budget has
 * for one call the result is -ERESTART. An entry that is wrong ends the call with its error; `done`
 * names it.
 */
export function translateBatch(call: OpCall, domain: XenDomain): number {
  const { view, caller } = call;
  const { memory } = caller.machine;
  const count = view.getUint32(BATCH.COUNT, true);
  let done = view.getUint32(BATCH.DONE, true);
  if (done > count || !call.isClear(BATCH.DONE + 4)) return -Errno.EINVAL;
  const hi = hiAt(view, BATCH.ENTRIES);
  const lo = loAt(view, BATCH.ENTRIES);
  const record = new Uint8Array(TRANSLATION_BYTES);
  const recordView = new DataView(record.buffer);
  const request = new DmaRequest();
  const last = Math.min(count, done + domain.limits.translationsPerCall);
  let error = 0;
  for (; done < last && error === 0; done += 1) {
    const entryHi = hiPlus(hi, lo, done * TRANSLATION_BYTES);
    const entryLo = loPlus(lo, done * TRANSLATION_BYTES);
    if (!copyFromCaller(memory, entryHi, entryLo, record)) error = -Errno.EFAULT;
    else error = answer(recordView, 0, domain, request);
    if (error !== 0) break;
    if (!memory.writeBytes(entryHi, entryLo, record)) error = -Errno.EFAULT;
  }
  view.setUint32(BATCH.DONE, done, true);
  if (error !== 0 || done === count) return error;
  domain.counters.callContinuations += 1;
  return -Errno.ERESTART;
}

/** A blocked request is an answer, too: its reason is the record's `status`. */
function answer(view: DataView, at: number, domain: XenDomain, request: DmaRequest): number {
  if (!readQuestion(view, at, request)) return -Errno.EINVAL;
  const segment = view.getUint16(at + TranslationField.SEGMENT, true);
  const unit = domain.unitAbove(segment, request.sourceId);
  if (unit === null) return -Errno.ENOENT;
  const probe = view.getUint8(at + TranslationField.FLAGS) === PROBE;
  if (!probe) domain.counters.translations += 1;
  request.suppressed = false;
  const result = probe ? unit.dma.probe(request) : unit.dma.translate(request);
  writeAnswer(view, at, request, result);
  return 0;
}
