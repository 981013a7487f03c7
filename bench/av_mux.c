/*
 * What ffmpeg's own muxers cost: the clip's packets are held in memory and written lap by lap with rising times.
 *
 *   av_mux CLIP LAPS
 *
 * Timed is av_write_frame alone.  Not in it: reading, demuxing, moving time stamps, interleaving, output.  The bytes go through the
 * 32 KiB buffer that ffmpeg gives a file to a write callback that throws them away.  Three figures:
 *
 *   ns_per_packet              mpegts, pictures converted to Annex B beforehand: the muxer alone
 *   ns_per_packet_filtered     mpegts as `ffmpeg -c copy` runs it: libavformat puts h264_mp4toannexb in by itself
 *   ns_per_message             flv, which needs no filter; RTMP's chunking would come on top
 *
 * Units are the muxer's own: TS packets that it wrote, packets that went in.  Medians over laps, as JSON.
 */
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST_PACKETS 10000
#define MOST_LAPS 1000
#define BUFFER_BYTES 32768
#define STREAMS 2

/* A lap of packets; times as they were read, each stream's from 0. */
struct clip {
    AVFormatContext *input;
    AVPacket *packets[MOST_PACKETS];
    int64_t pts[MOST_PACKETS], dts[MOST_PACKETS];
    int count, video;
    int64_t lap_us;
};

static struct clip clip;
static uint64_t written_bytes;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void check(int code, const char *what)
{
    if (code >= 0)
        return;
    fprintf(stderr, "av_mux: %s: %s\n", what, av_err2str(code));
    exit(1);
}

static int throw_away(void *opaque, uint8_t *data, int size)
{
    (void)opaque, (void)data;
    written_bytes += (uint64_t)size;
    return size;
}

static void open_clip(const char *path)
{
    check(avformat_open_input(&clip.input, path, NULL, NULL), path);
    check(avformat_find_stream_info(clip.input, NULL), path);
    clip.video = av_find_best_stream(clip.input, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    check(clip.video, path);
    check(clip.input->nb_streams == STREAMS ? 0 : AVERROR_INVALIDDATA, path);
    AVStream *stream = clip.input->streams[clip.video];
    clip.lap_us = av_rescale_q(stream->duration, stream->time_base, AV_TIME_BASE_Q);
}

/* What the encoder padded the audio with beyond the video's end lies in the next lap and is left out. */
static void read_packets(const char *path)
{
    int64_t first[STREAMS] = {AV_NOPTS_VALUE, AV_NOPTS_VALUE};
    AVPacket *packet = av_packet_alloc();
    int code;
    while ((code = av_read_frame(clip.input, packet)) >= 0) {
        int number = packet->stream_index;
        if (first[number] == AV_NOPTS_VALUE)
            first[number] = packet->dts;
        int64_t dts = packet->dts - first[number];
        if (av_rescale_q(dts, clip.input->streams[number]->time_base, AV_TIME_BASE_Q) >= clip.lap_us) {
            av_packet_unref(packet);
            continue;
        }
        check(clip.count < MOST_PACKETS ? 0 : AVERROR(ENOSPC), path);
        clip.dts[clip.count] = dts;
        clip.pts[clip.count] = packet->pts - first[number];
        clip.packets[clip.count++] = packet;
        packet = av_packet_alloc();
    }
    check(code == AVERROR_EOF ? 0 : code, path);
    av_packet_free(&packet);
}

/* Makes the clip's pictures Annex B for good; the filter's parameters are the stream's from then on. */
static void convert_pictures(void)
{
    const char *name = "h264_mp4toannexb";
    AVBSFContext *filter;
    check(av_bsf_alloc(av_bsf_get_by_name(name), &filter), name);
    AVStream *stream = clip.input->streams[clip.video];
    check(avcodec_parameters_copy(filter->par_in, stream->codecpar), name);
    filter->time_base_in = stream->time_base;
    check(av_bsf_init(filter), name);
    for (int i = 0; i < clip.count; i++) {
        if (clip.packets[i]->stream_index != clip.video)
            continue;
        check(av_bsf_send_packet(filter, clip.packets[i]), name);
        check(av_bsf_receive_packet(filter, clip.packets[i]), name);
    }
    check(avcodec_parameters_copy(stream->codecpar, filter->par_out), name);
    av_bsf_free(&filter);
}

static AVFormatContext *open_output(const char *format)
{
    AVFormatContext *output = NULL;
    check(avformat_alloc_output_context2(&output, NULL, format, NULL), format);
    for (int i = 0; i < STREAMS; i++) {
        AVStream *stream = avformat_new_stream(output, NULL);
        check(avcodec_parameters_copy(stream->codecpar, clip.input->streams[i]->codecpar), format);
        stream->codecpar->codec_tag = 0;
        stream->time_base = clip.input->streams[i]->time_base;
    }
    output->pb = avio_alloc_context(av_malloc(BUFFER_BYTES), BUFFER_BYTES, 1, NULL, NULL, throw_away, NULL);
    check(avformat_write_header(output, NULL), format);
    return output;
}

static void set_times(const AVFormatContext *output, int lap)
{
    for (int i = 0; i < clip.count; i++) {
        AVPacket *packet = clip.packets[i];
        AVRational from = clip.input->streams[packet->stream_index]->time_base;
        AVRational to = output->streams[packet->stream_index]->time_base;
        int64_t start = av_rescale_q(lap * clip.lap_us, AV_TIME_BASE_Q, to);
        packet->pts = start + av_rescale_q(clip.pts[i], from, to);
        packet->dts = start + av_rescale_q(clip.dts[i], from, to);
        packet->duration = 0;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median ns of one unit; unit_bytes 0: a packet that goes in.  The first lap is not counted. */
static double unit_ns(const char *format, int laps, unsigned unit_bytes, double *units)
{
    static double lap_ns[MOST_LAPS];
    AVFormatContext *output = open_output(format);
    uint64_t begun_bytes = 0;
    for (int lap = 0; lap <= laps; lap++) {
        set_times(output, lap);
        if (lap == 1)
            begun_bytes = written_bytes;
        uint64_t start = now_ns();
        for (int i = 0; i < clip.count; i++)
            check(av_write_frame(output, clip.packets[i]), format);
        if (lap)
            lap_ns[lap - 1] = (double)(now_ns() - start);
    }
    *units = unit_bytes ? (double)(written_bytes - begun_bytes) / unit_bytes / laps : clip.count;
    qsort(lap_ns, (size_t)laps, sizeof *lap_ns, ascending);
    avio_context_free(&output->pb);
    avformat_free_context(output);
    return lap_ns[laps / 2] / *units;
}

int main(int argc, char **argv)
{
    int laps = argc == 3 ? atoi(argv[2]) : 0;
    if (laps < 1 || laps > MOST_LAPS) {
        fprintf(stderr, "usage: av_mux CLIP LAPS (1 to %d)\n", MOST_LAPS);
        return 2;
    }
    av_log_set_level(AV_LOG_ERROR);
    open_clip(argv[1]);
    read_packets(argv[1]);
    double packets, messages;
    double message = unit_ns("flv", laps, 0, &messages);
    double filtered = unit_ns("mpegts", laps, 188, &packets);
    convert_pictures();
    double packet = unit_ns("mpegts", laps, 188, &packets);
    printf("{\"program\":\"av_mux\",\"libavformat\":\"%d.%d.%d\",\"laps\":%d,\"packets\":%.0f,\"messages\":%.0f,"
           "\"ns_per_packet\":%.2f,\"ns_per_packet_filtered\":%.2f,\"ns_per_message\":%.1f}\n",
           avformat_version() >> 16, avformat_version() >> 8 & 255, avformat_version() & 255, laps, packets, messages, packet, filtered, message);
    return 0;
}
