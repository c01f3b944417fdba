import { InvalidArgumentError } from "commander";

/** A whole number on the command line. */
export function numberOption(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give a whole number.");
}
