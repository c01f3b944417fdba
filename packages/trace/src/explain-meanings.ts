import {
  AddressType,
  AddressWidth,
  DeliveryMode,
  faultReason,
  Granularity,
  InvalidationQueueError,
  PasidCacheGranularity,
  PasidIotlbGranularity,
  PasidTranslationType,
  ResponseCode,
  SourceValidation,
  TranslationTableMode,
  TranslationType,
} from "@viommu/vtd-spec";

/** Values of fields by the name that their documentation refers to: "see TranslationType". */
const ENUMERATIONS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  AddressType,
  AddressWidth,
  DeliveryMode,
  Granularity,
  InvalidationQueueError,
  PasidCacheGranularity,
  PasidIotlbGranularity,
  PasidTranslationType,
  ResponseCode,
  SourceValidation,
  TranslationTableMode,
  TranslationType,
};

/** The documentation of a field, with what this value of it stands for. */
export function meaningOf(doc: string, value: bigint): string {
  return doc.replace(/see ([A-Z]\w+)/, (reference, name: string) => {
    if (name === "FaultReason") return faultReason(Number(value))?.text ?? "no reason of VT-d 5.10";
    const values = ENUMERATIONS[name];
    if (values === undefined) return reference;
    const names = Object.keys(values).filter((key) => values[key] === Number(value));
    return names.length === 0 ? "not defined" : names.map(words).join(" or ");
  });
}

/** "PASS_THROUGH" as "pass through". */
function words(name: string): string {
  return name.toLowerCase().replaceAll("_", " ");
}
