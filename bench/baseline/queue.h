// The invalidation queue (VT-d 6.5.2): decode of 128-bit descriptors, page-selective and wait only.
#pragma once
#include "guest.h"

enum { DESCRIPTOR_IOTLB = 2, DESCRIPTOR_WAIT = 5, QUEUE_OK = 0, QUEUE_ERROR = 1 };

typedef void (*invalidate_page)(void *iotlb, unsigned domain, uint64_t address, unsigned order);

struct queue {
  struct guest guest;
  uint64_t base;
  uint32_t bytes;
  uint32_t head;
  void *iotlb;
  invalidate_page invalidate;
};

// The guest's write of the tail register: works everything off before it returns.
static __attribute__((noinline)) unsigned queue_write_tail(struct queue *queue, uint32_t tail) {
  while (queue->head != tail) {
    uint64_t low, high;
    if (!guest_read64(&queue->guest, queue->base + queue->head, &low) ||
        !guest_read64(&queue->guest, queue->base + queue->head + 8, &high))
      return QUEUE_ERROR;
    switch (low & 0xe0f) {
      case DESCRIPTOR_IOTLB:
        if (low & UINT64_C(0xffffffff0000f100) || high & 0xf80 || (low >> 4 & 3) != 3) return QUEUE_ERROR;
        queue->invalidate(queue->iotlb, low >> 16 & 0xffff, high & ~PAGE_MASK, high & 0x3f);
        break;
      case DESCRIPTOR_WAIT:
        if (low & UINT64_C(0xfffff180) || high & 3) return QUEUE_ERROR;
        if (low & 0x20 && !guest_write32(&queue->guest, high, (uint32_t)(low >> 32))) return QUEUE_ERROR;
        break;
      default: return QUEUE_ERROR;
    }
    queue->head = (queue->head + 16) & (queue->bytes - 1);
  }
  return QUEUE_OK;
}
