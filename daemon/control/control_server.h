/// The control process: one loop over the control socket, its clients, the supervisor and the I/O
/// processes. May block in name resolution and file access; nothing that serves requests waits for
/// it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/errno.h"
#include "base/unique_fd.h"
#include "daemon/control/attachment_table.h"
#include "daemon/control/config.h"
#include "daemon/control/wire.h"

namespace holdfast::daemon {

struct ServerOptions {
    int supervisor = -1;  ///< Inherited; not owned.
    std::string link_directory{kLinkDirectory};
};

/// Listens on a filesystem socket that everybody may connect to (mode 0666): who may do what is
/// decided by the peer's credentials. Replaces a socket that nobody serves any more.
[[nodiscard]] OrFailure<UniqueFd> listen_on(const std::string& path);

/// See the file comment.
class ControlServer {
public:
    ControlServer(const Config& config, UniqueFd listening, const ServerOptions& options);

    /// Runs until SIGTERM, or until the supervisor has gone. False: a call that must work failed.
    [[nodiscard]] bool run();

private:
    struct Client {
        UniqueFd socket;
        bool is_root = false;
        FrameReader frames{kRequestBytesMax};
        std::string unsent;
        bool is_done = false;
    };
    struct Source;

    [[nodiscard]] std::vector<Source> sources() const;
    void serve(const Source& source, short events);
    void accept_client();
    void read_client(ClientId id, Client& client);
    void write_client(Client& client);
    void answer(ClientId id, const OrFailure<Json>& answer);
    void handle(ClientId id, const Client& client, const std::string& body);
    [[nodiscard]] OrFailure<Json> handle_reading(const Request& request);
    [[nodiscard]] OrFailure<void> handle_changing(ClientId id, const Request& request);
    [[nodiscard]] OrFailure<void> handle_attach(ClientId id, const Request& request);
    [[nodiscard]] OrFailure<void> handle_detach(ClientId id, const Request& request);
    [[nodiscard]] Json list() const;
    [[nodiscard]] OrFailure<Json> status(const Request& request) const;
    [[nodiscard]] OrFailure<Json> trace(const Request& request) const;
    [[nodiscard]] OrFailure<Json> udev_info(const Request& request) const;
    [[nodiscard]] Json status_of(const Attachment& attachment) const;
    [[nodiscard]] std::string metrics() const;
    void read_supervisor();
    void read_io(AttachmentId id);
    void send_answers();

    const Config& config_;
    UniqueFd listening_;
    UniqueFd signals_;
    int supervisor_;
    LogDrain log_;
    AttachmentTable table_;
    std::map<ClientId, Client> clients_;
    ClientId last_client_ = 0;
    bool is_stopping_ = false;
};

}  // namespace holdfast::daemon
