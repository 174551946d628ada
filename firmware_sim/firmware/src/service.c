#include "service.h"

#include <stddef.h>
#include <string.h>

#include "crc32.h"
#include "gate.h"
#include "network.h"

#define FIRMWARE_MAJOR 0
#define FIRMWARE_MINOR 1
#define FIRMWARE_PATCH 0

void service_init(struct service *service, const struct nn_model *model, const struct service_port *port)
{
    memset(service, 0, sizeof *service);
    service->model = model;
    service->port = port;
    memcpy(service->tau_q15, model->tau_q15, model->labels * sizeof model->tau_q15[0]);
}

/* Fields are packed behind the type and the sequence. */
static uint8_t *fields(struct service *service)
{
    return service->body + 2;
}

static void send(struct service *service, uint8_t type, uint8_t sequence, uint32_t field_bytes)
{
    service->body[0] = type;
    service->body[1] = sequence;
    uint32_t size = packet_encode(service->body, 2 + field_bytes, service->packet);
    service->port->send(service->packet, size);
}

static void refuse(struct service *service, uint8_t sequence, uint8_t request, uint8_t code, uint32_t detail)
{
    struct cw_error error = {.code = code, .request = request, .detail = detail};
    service->statistics.errors[code - 1]++;
    send(service, CW_TYPE_ERROR, sequence, cw_error_pack(&error, fields(service)));
}

static uint32_t frame_units(const struct service *service)
{
    return (service->model->input_bytes + CW_CHUNK_UNIT - 1) / CW_CHUNK_UNIT;
}

static void want_all_units(struct service *service)
{
    uint32_t units = frame_units(service);
    memset(service->missing, 0, sizeof service->missing);
    for (uint32_t unit = 0; unit < units; unit++)
        service->missing[unit / 8] |= (uint8_t)(1u << unit % 8);
    service->missing_units = units;
}

static void on_hello(struct service *service, uint8_t sequence)
{
    const struct nn_model *model = service->model;
    struct cw_board board = {
        .protocol = CW_PROTOCOL_VERSION,
        .firmware = {FIRMWARE_MAJOR, FIRMWARE_MINOR, FIRMWARE_PATCH},
        .height = model->input_h,
        .width = model->input_w,
        .channels = (uint8_t)model->input_c,
        .labels = (uint8_t)model->labels,
        .clock_hz = service->port->clock_hz,
    };
    memcpy(board.model_sha256, model->sha256, sizeof board.model_sha256);
    send(service, CW_TYPE_BOARD, sequence, cw_board_pack(&board, fields(service)));
}

static bool is_threshold(uint16_t tau)
{
    return tau <= 32768 || tau == GATE_NEVER_ALONE;
}

static void on_set_thresholds(struct service *service, uint8_t sequence, const struct cw_set_thresholds *wanted)
{
    bool good = wanted->tau_q15_count == service->model->labels;
    for (uint32_t i = 0; good && i < wanted->tau_q15_count; i++)
        good = is_threshold(wanted->tau_q15[i]);
    if (!good) {
        refuse(service, sequence, CW_TYPE_SET_THRESHOLDS, CW_ERROR_CODE_BAD_VALUE, service->model->labels);
        return;
    }
    struct cw_thresholds now = {.tau_q15_count = wanted->tau_q15_count};
    memcpy(now.tau_q15, wanted->tau_q15, wanted->tau_q15_count * sizeof now.tau_q15[0]);
    memcpy(service->tau_q15, wanted->tau_q15, wanted->tau_q15_count * sizeof service->tau_q15[0]);
    if (service->state == FRAME_DONE)
        service->state = FRAME_NONE; /* its result was decided by the old thresholds */
    send(service, CW_TYPE_THRESHOLDS, sequence, cw_thresholds_pack(&now, fields(service)));
}

static void on_frame_begin(struct service *service, uint8_t sequence, const struct cw_frame_begin *begin)
{
    uint32_t bytes = service->model->input_bytes;
    if (begin->length != bytes) {
        refuse(service, sequence, CW_TYPE_FRAME_BEGIN, CW_ERROR_CODE_BAD_VALUE, bytes);
        return;
    }
    bool repeated = service->state == FRAME_RECEIVING && service->frame == begin->frame &&
                    service->frame_crc32 == begin->crc32;
    if (!repeated) {
        service->state = FRAME_RECEIVING;
        service->frame = begin->frame;
        service->frame_crc32 = begin->crc32;
        want_all_units(service);
    }
    struct cw_frame_ready ready = {.frame = begin->frame};
    send(service, CW_TYPE_FRAME_READY, sequence, cw_frame_ready_pack(&ready, fields(service)));
}

static void on_frame_chunk(struct service *service, uint8_t sequence, const struct cw_frame_chunk *chunk)
{
    if (service->state != FRAME_RECEIVING || service->frame != chunk->frame) {
        refuse(service, sequence, CW_TYPE_FRAME_CHUNK, CW_ERROR_CODE_OUT_OF_ORDER, service->frame);
        return;
    }
    uint32_t bytes = service->model->input_bytes, count = chunk->data_count;
    bool inside = chunk->offset < bytes && count <= bytes - chunk->offset && count > 0;
    bool on_grain = chunk->offset % CW_CHUNK_UNIT == 0 &&
                    (count % CW_CHUNK_UNIT == 0 || chunk->offset + count == bytes);
    if (!inside || !on_grain) {
        refuse(service, sequence, CW_TYPE_FRAME_CHUNK, CW_ERROR_CODE_OUT_OF_RANGE, chunk->offset);
        return;
    }
    memcpy(network_frame(service->model) + chunk->offset, chunk->data, count);
    uint32_t end = (chunk->offset + count + CW_CHUNK_UNIT - 1) / CW_CHUNK_UNIT;
    for (uint32_t unit = chunk->offset / CW_CHUNK_UNIT; unit < end; unit++) {
        uint8_t bit = (uint8_t)(1u << unit % 8);
        if (service->missing[unit / 8] & bit) {
            service->missing[unit / 8] ^= bit;
            service->missing_units--;
        }
    }
}

static void send_result(struct service *service, uint8_t sequence)
{
    send(service, CW_TYPE_RESULT, sequence, cw_result_pack(&service->result, fields(service)));
}

static void on_frame_end(struct service *service, uint8_t sequence, const struct cw_frame_end *end)
{
    bool known = service->state != FRAME_NONE && service->frame == end->frame;
    if (!known) {
        refuse(service, sequence, CW_TYPE_FRAME_END, CW_ERROR_CODE_OUT_OF_ORDER, service->frame);
        return;
    }
    if (service->state == FRAME_DONE) {
        send_result(service, sequence);
        return;
    }
    if (service->missing_units != 0) {
        struct cw_missing missing = {
            .frame = service->frame,
            .bitmap_count = (uint16_t)((frame_units(service) + 7) / 8),
            .bitmap = service->missing,
        };
        send(service, CW_TYPE_MISSING, sequence, cw_missing_pack(&missing, fields(service)));
        return;
    }
    if (crc32(network_frame(service->model), service->model->input_bytes) != service->frame_crc32) {
        want_all_units(service);
        refuse(service, sequence, CW_TYPE_FRAME_END, CW_ERROR_CODE_BAD_FRAME_CRC, 0);
        return;
    }
    service->state = FRAME_READY;
    service->end_sequence = sequence;
}

static void on_capture(struct service *service, uint8_t sequence, const struct cw_capture *capture)
{
    if (service->state == FRAME_DONE && service->frame == capture->frame) {
        send_result(service, sequence);
        return;
    }
    if (service->port->capture == NULL) {
        refuse(service, sequence, CW_TYPE_CAPTURE, CW_ERROR_CODE_BAD_VALUE, 0);
        return;
    }
    service->state = FRAME_CAPTURING;
    service->frame = capture->frame;
    service->end_sequence = sequence;
}

static void on_get_statistics(struct service *service, uint8_t sequence)
{
    struct cw_statistics statistics = service->statistics;
    statistics.uptime_us = service->port->now_us();
    statistics.stack_bytes = service->port->stack_bytes();
    send(service, CW_TYPE_STATISTICS, sequence, cw_statistics_pack(&statistics, fields(service)));
}

static bool is_known(uint8_t type)
{
    return type >= CW_TYPE_HELLO && type <= CW_TYPE_CAPTURE;
}

/* Serve a good packet whose body is in the decoder. */
static void dispatch(struct service *service, uint32_t size)
{
    const uint8_t *body = service->decoder.bytes, *p = body + 2;
    uint8_t type = body[0], sequence = body[1];
    bool busy = service->state == FRAME_CAPTURING || service->state == FRAME_READY || service->state == FRAME_RUNNING;
    if (!is_known(type)) {
        refuse(service, sequence, type, CW_ERROR_CODE_UNKNOWN_TYPE, type);
        return;
    }
    if (busy && type != CW_TYPE_HELLO && type != CW_TYPE_GET_STATISTICS) {
        refuse(service, sequence, type, CW_ERROR_CODE_BUSY, service->frame);
        return;
    }
    union {
        struct cw_hello hello;
        struct cw_set_thresholds set_thresholds;
        struct cw_frame_begin frame_begin;
        struct cw_frame_chunk frame_chunk;
        struct cw_frame_end frame_end;
        struct cw_get_statistics get_statistics;
        struct cw_capture capture;
    } m;
    bool whole = false;
    switch (type) {
    case CW_TYPE_HELLO:
        if ((whole = cw_hello_unpack(p, size - 2, &m.hello)))
            on_hello(service, sequence);
        break;
    case CW_TYPE_SET_THRESHOLDS:
        if ((whole = cw_set_thresholds_unpack(p, size - 2, &m.set_thresholds)))
            on_set_thresholds(service, sequence, &m.set_thresholds);
        break;
    case CW_TYPE_FRAME_BEGIN:
        if ((whole = cw_frame_begin_unpack(p, size - 2, &m.frame_begin)))
            on_frame_begin(service, sequence, &m.frame_begin);
        break;
    case CW_TYPE_FRAME_CHUNK:
        if ((whole = cw_frame_chunk_unpack(p, size - 2, &m.frame_chunk)))
            on_frame_chunk(service, sequence, &m.frame_chunk);
        break;
    case CW_TYPE_FRAME_END:
        if ((whole = cw_frame_end_unpack(p, size - 2, &m.frame_end)))
            on_frame_end(service, sequence, &m.frame_end);
        break;
    case CW_TYPE_GET_STATISTICS:
        if ((whole = cw_get_statistics_unpack(p, size - 2, &m.get_statistics)))
            on_get_statistics(service, sequence);
        break;
    case CW_TYPE_CAPTURE:
        if ((whole = cw_capture_unpack(p, size - 2, &m.capture)))
            on_capture(service, sequence, &m.capture);
        break;
    }
    if (!whole)
        refuse(service, sequence, type, CW_ERROR_CODE_MALFORMED, 0);
}

void service_receive(struct service *service, const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        switch (packet_feed(&service->decoder, bytes[i])) {
        case PACKET_PENDING:
            break;
        case PACKET_GOOD:
            service->statistics.packets++;
            dispatch(service, service->decoder.size - PACKET_CRC_BYTES);
            break;
        case PACKET_BAD_CRC:
            refuse(service, 0, 0, CW_ERROR_CODE_BAD_CRC, 0);
            break;
        case PACKET_BAD_FRAMING:
            refuse(service, 0, 0, CW_ERROR_CODE_BAD_FRAMING, 0);
            break;
        case PACKET_TOO_LONG:
            refuse(service, 0, 0, CW_ERROR_CODE_TOO_LONG, CW_PACKET_MAX);
            break;
        }
    }
}

void service_overrun(struct service *service)
{
    refuse(service, 0, 0, CW_ERROR_CODE_OVERRUN, 0);
}

bool service_work(struct service *service)
{
    if (service->state == FRAME_CAPTURING) {
        if (!service->port->capture(network_frame(service->model))) {
            service->state = FRAME_NONE;
            refuse(service, service->end_sequence, CW_TYPE_CAPTURE, CW_ERROR_CODE_BAD_VALUE, 0);
            return true;
        }
        service->state = FRAME_READY;
    }
    if (service->state != FRAME_READY)
        return false;
    service->state = FRAME_RUNNING;
    const struct service_port *port = service->port;
    uint64_t start_us = port->now_us(), start_cycles = port->cycles();
    network_shift_range(service->model);
    const int8_t *logits = network_run(service->model, port->between_layers, service);
    uint64_t cycles = port->cycles() - start_cycles;
    uint32_t us = (uint32_t)(port->now_us() - start_us);

    struct gate_decision decision = gate_decide(service->model, service->tau_q15, logits);
    service->result = (struct cw_result){
        .frame = service->frame,
        .logits_count = service->model->labels,
        .label = decision.label,
        .probability_q15 = decision.probability_q15,
        .tau_q15 = service->tau_q15[decision.label],
        .sure = decision.sure,
        .reason = decision.reason,
        .cycles = cycles,
        .inference_us = us,
    };
    memcpy(service->result.logits, logits, service->model->labels);
    service->statistics.frames++;
    service->statistics.escalated += !decision.sure;
    service->state = FRAME_DONE;
    send_result(service, service->end_sequence);
    return true;
}
