// Guest memory as the baselines see it: the bytes of the ArrayBuffer that the JavaScript engine uses.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PAGE_SHIFT 12
#define PAGE_MASK UINT64_C(0xfff)
#define FRAME_MASK UINT64_C(0x000ffffffffff000)

enum { READ = 1, WRITE = 2 };

struct guest {
  uint8_t *bytes;
  uint64_t size;
};

// False outside memory: a guest may point a table anywhere.
static inline bool guest_read64(const struct guest *guest, uint64_t address, uint64_t *value) {
  if (address > guest->size - 8) return false;
  memcpy(value, guest->bytes + address, 8);
  return true;
}

static inline bool guest_write32(const struct guest *guest, uint64_t address, uint32_t value) {
  if (address > guest->size - 4) return false;
  memcpy(guest->bytes + address, &value, 4);
  return true;
}
