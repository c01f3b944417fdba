// Files
export { openTrace, readTrace } from "./reader.ts";
export type { TraceStream } from "./reader.ts";
export { packTrace, writeTrace } from "./writer.ts";
export type {
  DeniedResult,
  DmaAllowed,
  DmaEvent,
  EventBase,
  IrqDelivered,
  IrqEvent,
  MemoryBytes,
  Message,
  MmioEvent,
  OtherEvent,
  RecordedFault,
  RegistersEvent,
  ResetEvent,
  Trace,
  TraceEvent,
  TraceHeader,
} from "./format.ts";

// Recording and replaying
export { Recorder } from "./recorder.ts";
export type { RecorderOptions } from "./recorder.ts";
export { isClean, replayStream, replayTrace } from "./report.ts";
export type { ClassCounts, Difference, Progress, ReplayOptions, TraceReport } from "./report.ts";
export { COMPARISON_CLASSES } from "./comparison.ts";
export type { Comparison, ComparisonClass } from "./comparison.ts";
export type { ReplayUnit, UnitFactory } from "./replay-unit.ts";

// Explaining
export { explainEvent } from "./explain.ts";
export type { ExplainedFault, ExplainedField, ExplainedStep, Explanation } from "./explanation.ts";
