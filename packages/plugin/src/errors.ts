/**
 * A mistake of the host: a bad configuration, a missing plugin, a wrong file. Never thrown on guest
 * input. `code` is stable (docs/reference/errors.md lists all), the message names the offending
 * value and says what to do.
 */
export class ViommuError extends Error {
  readonly code: string;

  constructor(code: `ERR_VIOMMU_${string}`, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ViommuError";
    this.code = code;
  }
}
