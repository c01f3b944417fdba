import type { RegisterLayout } from "./register.ts";
import { CAP, ECAP } from "./registers-capability.ts";
import * as command from "./registers-command.ts";
import * as fault from "./registers-fault.ts";
import * as global from "./registers-global.ts";
import * as invalidation from "./registers-invalidation.ts";
import * as mtrr from "./registers-mtrr.ts";
import * as counter from "./registers-perfmon-counter.ts";
import * as perfmon from "./registers-perfmon.ts";
import * as pageRequest from "./registers-page-request.ts";
import * as protectedMemory from "./registers-protected-memory.ts";
import * as queue from "./registers-queue.ts";

/** All registers at fixed offsets, in the order of their offsets (VT-d 11.4). */
export const REGISTERS: readonly RegisterLayout[] = [
  global.VER,
  CAP,
  ECAP,
  global.GCMD,
  global.GSTS,
  global.RTADDR,
  invalidation.CCMD,
  fault.FSTS,
  fault.FECTL,
  fault.FEDATA,
  fault.FEADDR,
  fault.FEUADDR,
  protectedMemory.PMEN,
  protectedMemory.PLMBASE,
  protectedMemory.PLMLIMIT,
  protectedMemory.PHMBASE,
  protectedMemory.PHMLIMIT,
  queue.IQH,
  queue.IQT,
  queue.IQA,
  queue.ICS,
  queue.IECTL,
  queue.IEDATA,
  queue.IEADDR,
  queue.IEUADDR,
  queue.IQERCD,
  global.IRTA,
  pageRequest.PQH,
  pageRequest.PQT,
  pageRequest.PQA,
  pageRequest.PRS,
  pageRequest.PECTL,
  pageRequest.PEDATA,
  pageRequest.PEADDR,
  pageRequest.PEUADDR,
  mtrr.MTRRCAP,
  mtrr.MTRRDEF,
  mtrr.MTRR_FIX,
  mtrr.MTRR_PHYSBASE,
  mtrr.MTRR_PHYSMASK,
  perfmon.PERFCAP,
  perfmon.PERFCFGOFF,
  perfmon.PERFFRZOFF,
  perfmon.PERFOVFOFF,
  perfmon.PERFCNTROFF,
  perfmon.PERFINTRSTS,
  perfmon.PERFINTRCTL,
  perfmon.PERFINTRDATA,
  perfmon.PERFINTRADDR,
  perfmon.PERFINTRUADDR,
  perfmon.PERFEVNTCAP,
  command.ECMD,
  command.ECEO,
  command.ECRSP,
  command.ECSTS,
  command.ECCAP,
  command.ECCAP3,
  global.RDTC,
  command.VCMD,
  command.VCMD_EO,
  command.VCRSP,
  command.VCCAP,
];

/** All registers whose place the unit reports, see `RegisterLayout.base` (VT-d 11.4). */
export const MOVABLE_REGISTERS: readonly RegisterLayout[] = [
  invalidation.IVA,
  invalidation.IOTLB,
  fault.FRCD,
  counter.PERFFRZSTS,
  counter.PERFOVFSTS,
  counter.PERFCNTRCFG,
  counter.PERFCNTR_RIDFLTR,
  counter.PERFCNTR_DIDFLTR,
  counter.PERFCNTR_PASIDFLTR,
  counter.PERFCNTR_ATFLTR,
  counter.PERFCNTR_PTLFLTR,
  counter.PERFCNTRCAP,
  counter.PERFCNTREVCAP,
  counter.PERFCNTR,
];
