/// holdfast-loader: loads the classifier for control. holdfastd starts it next to each control
/// process with one end of a socket; it ends when the other end does. It parses no text and takes
/// nothing but an interface's number.

#include <poll.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "daemon/shared/control_message.h"
#include "daemon/shared/gate.h"
#include "daemon/shared/loader_message.h"
#include "netpath/classifier/loader.h"

namespace {

using namespace holdfast;
using namespace holdfast::daemon;
using netpath::classifier::Classifier;
using netpath::classifier::XdpMode;
using netpath::classifier::XdpWish;

GateFiles files_of(Classifier&& made) {
    GateFiles files;
    files.all[GateFiles::kShared] = std::move(made.shared);
    files.all[GateFiles::kSockets] = std::move(made.sockets);
    files.all[GateFiles::kLink] = std::move(made.link);
    for (std::size_t i = GateFiles::kEvents; i < GateFiles::kCount; ++i)
        files.all.at(i) = std::move(made.events.at(i - GateFiles::kEvents));
    return files;
}

/// False: control does not listen any more.
bool answer(int socket, const LoaderReply& reply, const GateFiles& files) {
    const auto bytes = std::as_bytes(std::span{&reply, 1});
    const auto numbers = files.numbers();
    return send_message(socket, bytes, numbers.span()).has_value();
}

bool serve(int socket, const LoaderRequest& request) {
    auto made = netpath::classifier::load_classifier(
        {.interface_index = request.interface_index,
         .mode = request.may_be_generic != 0 ? XdpWish::Any : XdpWish::Native});
    LoaderReply reply;
    if (!made) {
        reply.error = made.error().error.code();
        reply.step = static_cast<std::uint8_t>(made.error().step);
        return answer(socket, reply, {});
    }
    reply.is_native = made->mode == XdpMode::Native ? 1 : 0;
    // Our own descriptors close here: what control does not keep is detached.
    return answer(socket, reply, files_of(*std::move(made)));
}

int run(int socket) {
    std::array<std::byte, sizeof(LoaderRequest) + 1> room{};
    for (;;) {
        pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
        if (::poll(&wait, 1, -1) < 0) continue;
        const auto received = receive_message(socket, room);
        if (!received || received->bytes == 0) return EXIT_SUCCESS;
        if (received->bytes != sizeof(LoaderRequest)) return EXIT_FAILURE;
        LoaderRequest request;
        std::memcpy(&request, room.data(), sizeof request);
        if (request.magic != LoaderRequest::kMagic || request.interface_index == 0)
            return EXIT_FAILURE;
        if (!serve(socket, request)) return EXIT_SUCCESS;
    }
}

}  // namespace

int main(int argc, char** argv) {
    // The one place where the C argument vector becomes a span.
    const std::span<char* const> words{argv, static_cast<std::size_t>(argc)};
    int socket = -1;
    if (words.size() == 2) {
        const std::string_view number = words[1];
        std::from_chars(number.begin(), number.end(), socket);
    }
    return socket < 3 ? EXIT_FAILURE : run(socket);
}
