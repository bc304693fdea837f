// traffic-probe: other traffic's throughput, for comparing a host with the classifier and without.
//
//   receive PORT SECONDS        one TCP stream that comes in: MB/s
//   send ADDRESS PORT SECONDS   the other end
//   count PORT SECONDS          datagrams a second that arrive, from the first one on
//   datagrams ADDRESS PORT RATE SECONDS   the other end
//   pass INTERFACE SECONDS      holds an XDP program there that lets everything pass

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "stress/classifier/pass_program.h"

namespace {

using namespace holdfast;
using stress::attach_pass_program;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr int kPatienceMs = 20'000;

std::int64_t now_ns() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * kSecondNs + time.tv_nsec;
}

sockaddr_in address_of(const char* host, int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<in_port_t>(port));
    ::inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

const sockaddr* raw(const sockaddr_in& address) {
    return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

bool wait_for(int fd, int timeout_ms) {
    pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&wait, 1, timeout_ms) == 1;
}

UniqueFd bound(int kind, int port) {
    UniqueFd fd{::socket(AF_INET, kind, 0)};
    const int yes = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const sockaddr_in any = address_of("0.0.0.0", port);
    if (::bind(fd.get(), raw(any), sizeof any) != 0) return {};
    return fd;
}

int receive(int port, int seconds) {
    const UniqueFd listening = bound(SOCK_STREAM, port);
    if (!listening || ::listen(listening.get(), 1) != 0) return EXIT_FAILURE;
    std::puts("ready");
    std::fflush(stdout);
    if (!wait_for(listening.get(), kPatienceMs)) return EXIT_FAILURE;
    const UniqueFd stream{::accept(listening.get(), nullptr, nullptr)};
    std::vector<char> room(std::size_t{1} << 18);
    const std::int64_t begun = now_ns();
    double bytes = 0;
    while (now_ns() - begun < seconds * kSecondNs) {
        const ssize_t got = ::recv(stream.get(), room.data(), room.size(), 0);
        if (got <= 0) break;
        bytes += static_cast<double>(got);
    }
    std::printf("%.2f\n", bytes / static_cast<double>(now_ns() - begun) * 1000);
    return EXIT_SUCCESS;
}

int send(const char* host, int port, int seconds) {
    const UniqueFd out{::socket(AF_INET, SOCK_STREAM, 0)};
    const sockaddr_in to = address_of(host, port);
    if (::connect(out.get(), raw(to), sizeof to) != 0) return EXIT_FAILURE;
    const std::vector<char> chunk(std::size_t{128} * 1024);
    const std::int64_t end = now_ns() + seconds * kSecondNs;
    while (now_ns() < end)
        if (::send(out.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL) < 0) break;
    return EXIT_SUCCESS;
}

int count(int port, int seconds) {
    const UniqueFd in = bound(SOCK_DGRAM, port);
    if (!in) return EXIT_FAILURE;
    std::puts("ready");
    std::fflush(stdout);
    std::array<char, 2048> room{};
    if (!wait_for(in.get(), kPatienceMs)) return EXIT_FAILURE;
    const std::int64_t begun = now_ns();
    double packets = 0;
    while (now_ns() - begun < seconds * kSecondNs)
        if (::recv(in.get(), room.data(), room.size(), 0) >= 0) packets += 1;
    std::printf("%.0f\n", packets * 1e9 / static_cast<double>(now_ns() - begun));
    return EXIT_SUCCESS;
}

int datagrams(const char* host, int port, int rate, int seconds) {
    const UniqueFd out{::socket(AF_INET, SOCK_DGRAM, 0)};
    const sockaddr_in to = address_of(host, port);
    if (::connect(out.get(), raw(to), sizeof to) != 0) return EXIT_FAILURE;
    const std::array<char, 64> payload{};
    const std::int64_t begun = now_ns();
    std::int64_t sent = 0;
    for (std::int64_t took = 0; took < seconds * kSecondNs; took = now_ns() - begun) {
        for (; sent < took * rate / kSecondNs; ++sent)
            static_cast<void>(::send(out.get(), payload.data(), payload.size(), 0));
        const timespec pause{.tv_sec = 0, .tv_nsec = 200'000};
        ::nanosleep(&pause, nullptr);
    }
    return EXIT_SUCCESS;
}

int pass(const char* interface, int seconds) {
    const UniqueFd link = attach_pass_program(interface);
    if (!link) return EXIT_FAILURE;
    std::puts("ready");
    std::fflush(stdout);
    ::sleep(static_cast<unsigned>(seconds));
    return EXIT_SUCCESS;
}

int run(std::span<char* const> words) {
    const std::string_view what = words.size() > 3 ? words[1] : "";
    const auto number = [&words](std::size_t at) { return std::atoi(words[at]); };
    if (what == "receive") return receive(number(2), number(3));
    if (what == "count") return count(number(2), number(3));
    if (what == "pass") return pass(words[2], number(3));
    if (what == "send" && words.size() == 5) return send(words[2], number(3), number(4));
    if (what == "datagrams" && words.size() == 6)
        return datagrams(words[2], number(3), number(4), number(5));
    std::fputs("usage: see stress/classifier/traffic_probe.cc\n", stderr);
    return EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
    // The one place where the C argument vector becomes a span.
    return run({argv, static_cast<std::size_t>(argc)});
}
